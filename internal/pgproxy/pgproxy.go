// Package pgproxy is a proxy between a program under test and its PostgreSQL server. It makes the
// database fail with any SQLSTATE, for every statement and every new connection, and it passes on
// the notices that the server sends, which a pool does not.
//
// A statement that the proxy fails never reaches the server, so nothing of it is executed.
package pgproxy

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Proxy forwards connections until the end of the test.
type Proxy struct {
	// URL is the address of the database through the proxy.
	URL string

	server string
	notice func(message string)

	mu      sync.Mutex
	fault   *Fault
	refused int // units that Fail answered
	open    map[net.Conn]struct{}
}

// Fault is an error of the database.
type Fault struct {
	Code  string // SQLSTATE
	Fatal bool   // it ends open connections, and new ones fail
}

// Start begins a proxy to the database at address. notice gets the text of every notice that the
// server sends to a client; nil ignores them. It may be called from several goroutines at once.
func Start(t testing.TB, address string, notice func(message string)) *Proxy {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatalf("pgproxy: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("pgproxy: %v", err)
	}
	p := &Proxy{server: u.Host, notice: notice, open: map[net.Conn]struct{}{}}
	u.Host = listener.Addr().String()
	p.URL = u.String()
	var running sync.WaitGroup
	running.Go(func() { p.accept(listener, &running) })
	t.Cleanup(func() {
		_ = listener.Close()
		p.closeAll()
		running.Wait()
	})
	return p
}

// Fail makes every statement fail until Heal is called.
func (p *Proxy) Fail(f Fault) {
	p.mu.Lock()
	p.fault, p.refused = &f, 0
	p.mu.Unlock()
	if f.Fatal {
		p.closeAll()
	}
}

// Heal ends the fault.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = nil
}

// Refused returns the number of statements and connections that have failed since Fail.
func (p *Proxy) Refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// refuse returns the present fault and counts what fails because of it.
func (p *Proxy) refuse(connects bool) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == nil || connects && !p.fault.Fatal {
		return nil
	}
	p.refused++
	f := *p.fault
	return &f
}

func (p *Proxy) accept(listener net.Listener, running *sync.WaitGroup) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.open[conn] = struct{}{}
		p.mu.Unlock()
		running.Go(func() {
			p.serve(conn)
			p.mu.Lock()
			delete(p.open, conn)
			p.mu.Unlock()
		})
	}
}

func (p *Proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close()
	}
}

// serve forwards one connection until one of its ends closes it.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	start, err := startup(client)
	if err != nil {
		return
	}
	if f := p.refuse(true); f != nil {
		_, _ = client.Write(f.message("FATAL"))
		return
	}
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	if _, err := server.Write(start); err != nil {
		return
	}
	s := &session{proxy: p, client: client, server: server, status: 'I'}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.answers()
		_ = client.Close()
	}()
	s.requests()
	_ = server.Close()
	<-done
}

const (
	sslRequest    = 80877103
	gssEncRequest = 80877104
)

// startup reads the first message of a client. It declines encryption.
func startup(client net.Conn) ([]byte, error) {
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(client, head); err != nil {
			return nil, err
		}
		switch binary.BigEndian.Uint32(head[4:]) {
		case sslRequest, gssEncRequest:
			if _, err := client.Write([]byte{'N'}); err != nil {
				return nil, err
			}
			continue
		}
		length := binary.BigEndian.Uint32(head)
		if length < 8 || length > 1<<16 {
			return nil, errors.New("no startup message")
		}
		whole := slices.Grow(head, int(length)-len(head))[:length]
		_, err := io.ReadFull(client, whole[8:])
		return whole, err
	}
}

// message encodes the fault as an ErrorResponse.
func (f *Fault) message(severity string) []byte {
	e := pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: f.Code, Message: "the database is ill"}
	raw, err := e.Encode(nil)
	if err != nil {
		panic(err) // the message is short
	}
	return raw
}
