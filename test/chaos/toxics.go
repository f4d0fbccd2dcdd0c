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

// tap copies what passes by.
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

// with returns how much went over the connection on which the text went.
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

// snip cuts a connection so many bytes behind the end of a text, or before it.
// Unlike limit_data it meets the same byte whatever went before.
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

// Pipe implements toxics.Toxic. The text arrives in one piece: both sides write a
// message at once.
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

// pass hands on what look gives back, until look says that this is the end.
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
