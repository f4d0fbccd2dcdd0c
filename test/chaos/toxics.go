package main

import (
	"bytes"
	"sync"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

func init() { //nolint:gochecknoinits // toxics are known by their names
	toxics.Register("tap", new(tap))
	toxics.Register("snip", new(snip))
}

// tap copies the data of a connection.
type tap struct {
	mu      sync.Mutex
	streams map[*toxics.ToxicStub][]byte
}

// Pipe implements toxics.Toxic.
func (t *tap) Pipe(stub *toxics.ToxicStub) {
	pass(stub, func(data []byte) ([]byte, bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.streams == nil {
			t.streams = map[*toxics.ToxicStub][]byte{}
		}
		t.streams[stub] = append(t.streams[stub], data...)
		return data, false
	})
}

// with returns the number of bytes on the connection that carried the text.
func (t *tap) with(text string) (size int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.streams {
		if bytes.Contains(s, []byte(text)) {
			return len(s)
		}
	}
	return 0
}

// snip closes a connection a number of bytes after the end of a text, or before it. Unlike
// limit_data, the position does not depend on earlier data.
type snip struct {
	Text  string `json:"text"`
	After int    `json:"after"`
}

type snipState struct {
	found bool
	left  int
}

// NewState implements toxics.StatefulToxic.
func (*snip) NewState() any { return &snipState{} }

// Pipe implements toxics.Toxic. The text arrives in one piece, because both
// sides write a message with one call.
func (t *snip) Pipe(stub *toxics.ToxicStub) {
	s, ok := stub.State.(*snipState)
	if !ok {
		s = &snipState{}
	}
	pass(stub, func(data []byte) ([]byte, bool) {
		at := 0
		if !s.found {
			i := bytes.Index(data, []byte(t.Text))
			if i < 0 {
				return data, false
			}
			s.found, s.left, at = true, t.After, i+len(t.Text)
		}
		end := max(at+s.left, 0)
		if end <= len(data) {
			return data[:end], true
		}
		s.left = end - len(data)
		return data, false
	})
}

// pass forwards the data that look returns, until look reports the end.
func pass(stub *toxics.ToxicStub, look func([]byte) (on []byte, end bool)) {
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			on, end := look(c.Data)
			if len(on) > 0 {
				stub.Output <- &stream.StreamChunk{Data: on, Timestamp: c.Timestamp}
			}
			if end {
				stub.Close()
				return
			}
		}
	}
}
