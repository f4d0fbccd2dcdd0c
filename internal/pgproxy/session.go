package pgproxy

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"
)

// session is one connection after its first message.
type session struct {
	proxy          *Proxy
	client, server net.Conn

	mu     sync.Mutex // of writes to the client
	status byte       // of the transaction, as the server last reported it
}

// frame is one message: its type, its length and its body.
type frame []byte

func read(r io.Reader) (frame, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	length := int(max(size, 4)) + 1
	whole := slices.Grow(head, length-len(head))[:length]
	_, err := io.ReadFull(r, whole[5:])
	return whole, err
}

// The types of messages that the proxy looks at.
const (
	query         = 'Q'
	syncing       = 'S' // from the client: the end of a unit of the extended protocol
	terminate     = 'X'
	password      = 'p'
	noticeKind    = 'N'
	readyForQuery = 'Z'
)

// requests forwards what the client sends. What it sends up to a Query or a Sync is one unit, which
// fails as a whole or not at all.
func (s *session) requests() {
	var f *Fault
	begins := true
	for r := bufio.NewReader(s.client); ; {
		m, err := read(r)
		if err != nil {
			return
		}
		if kind := m[0]; begins && kind != terminate && kind != password {
			f = s.proxy.refuse(false)
		}
		begins = m[0] == query || m[0] == syncing || m[0] == password
		switch {
		case f == nil:
			_, err = s.server.Write(m)
		case begins:
			err = s.fail(f)
		}
		if err != nil || f != nil && f.Fatal {
			return
		}
	}
}

// fail answers a unit with an error.
func (s *session) fail(f *Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Fatal {
		_, err := s.client.Write(f.message("FATAL"))
		return err
	}
	if s.status == 'T' {
		s.status = 'E'
	}
	raw, err := (&pgproto3.ReadyForQuery{TxStatus: s.status}).Encode(f.message("ERROR"))
	if err != nil {
		return err
	}
	_, err = s.client.Write(raw)
	return err
}

// answers forwards what the server sends.
func (s *session) answers() {
	for r := bufio.NewReader(s.server); ; {
		m, err := read(r)
		if err != nil {
			return
		}
		s.mu.Lock()
		if m[0] == readyForQuery && len(m) > 5 {
			s.status = m[5]
		}
		_, err = s.client.Write(m)
		s.mu.Unlock()
		if err != nil {
			return
		}
		if m[0] == noticeKind && s.proxy.notice != nil {
			var n pgproto3.NoticeResponse
			if n.Decode(m[5:]) == nil {
				s.proxy.notice(n.Message)
			}
		}
	}
}
