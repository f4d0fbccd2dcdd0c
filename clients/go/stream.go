package orderflow

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

const streamPath = "/v1/events/stream"

// stream reads Server-Sent Events (HTML standard, section 9.2).
type stream struct {
	body  io.ReadCloser
	lines *bufio.Scanner
	watch *watch
}

func (f *follower) openStream(ctx context.Context, w *watch) (connection, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address(streamPath), http.NoBody)
	if err != nil {
		return nil, permanent{err}
	}
	req.Header = f.header()
	req.Header.Set("Accept", "text/event-stream")
	res, err := f.client.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, problemOf(res)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 16<<10), followLimit)
	return &stream{res.Body, lines, w}, nil
}

// next returns the data of the next message. Comments are signs of life.
func (s *stream) next(context.Context) ([]byte, error) {
	var data []byte
	name := ""
	for s.lines.Scan() {
		s.watch.heard()
		line := s.lines.Bytes()
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) > 0 && string(field) == "event":
			name = string(value)
		case len(line) > 0 && string(field) == "data":
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, value...)
		case len(line) == 0 && name == frameClose:
			return nil, fmt.Errorf("orderflow: the server closed the stream: %s", data)
		case len(line) == 0 && data != nil:
			return data, nil
		case len(line) == 0:
			name = ""
		}
	}
	if err := s.lines.Err(); err != nil {
		return nil, fmt.Errorf("orderflow: the stream ended: %w", err)
	}
	return nil, fmt.Errorf("orderflow: the stream ended: %w", io.ErrUnexpectedEOF)
}

func (s *stream) close() { _ = s.body.Close() }
