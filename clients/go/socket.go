package orderflow

import (
	"context"
	"fmt"
	"net/http"

	"github.com/coder/websocket"
)

const socketPath = "/v1/events/ws"

type socket struct{ conn *websocket.Conn }

func (f *follower) openSocket(ctx context.Context, w *watch) (connection, error) {
	conn, res, err := websocket.Dial(ctx, f.address(socketPath), &websocket.DialOptions{
		HTTPClient: f.client.http, HTTPHeader: f.header(),
		OnPingReceived: func(context.Context, []byte) bool {
			w.heard()
			return true // answer it
		},
	})
	if err != nil {
		if res != nil && res.StatusCode != http.StatusSwitchingProtocols && res.Body != nil {
			return nil, problemOf(res)
		}
		return nil, err
	}
	conn.SetReadLimit(followLimit)
	return &socket{conn}, nil
}

func (s *socket) next(ctx context.Context) ([]byte, error) {
	_, text, err := s.conn.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("orderflow: the connection ended: %w", err)
	}
	return text, nil
}

func (s *socket) close() { _ = s.conn.CloseNow() }
