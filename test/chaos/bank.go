package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
)

// bank is the payment provider: the product's simulated one, in this process, so
// that it survives whoever asks it and its journal tells what money really moved.
type bank struct {
	*simulated.Bank
	listener net.Listener
	server   *http.Server

	down  atomic.Bool  // connections are closed in its face
	rough atomic.Bool  // half of all calls go wrong
	away  atomic.Int64 // it says itself that it is away, for so long
}

var (
	errBusy = errors.New("the bank is busy")
	errLost = errors.New("the line broke after the money moved")
)

func openBank(seed uint64) (*bank, error) {
	b := &bank{}
	b.Bank = simulated.NewBank(simulated.Options{
		Remember: true,
		Script:   func(call, key string, n int) error { return b.trouble(seed, call, key, n) },
		Away:     func() time.Duration { return time.Duration(b.away.Load()) },
	})
	var err error
	if b.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	answer := simulated.Handler(b.Bank)
	b.server = &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if b.down.Load() {
				panic(http.ErrAbortHandler) // nobody answers; net/http closes the connection
			}
			answer.ServeHTTP(w, r)
		}),
	}
	go func() { _ = b.server.Serve(b.listener) }() // ends with close
	return b, nil
}

func (b *bank) url() string { return "http://" + b.listener.Addr().String() }

func (b *bank) close() error { return b.server.Close() }

// trouble is what goes wrong with a call. It follows from the seed, the key and how
// often the key was asked, not from when.
func (b *bank) trouble(seed uint64, call, key string, n int) error {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s %d", call, key, n)
	rng := rand.New(rand.NewPCG(seed, h.Sum64())) //nolint:gosec // repeatable on purpose
	errs, lost := 4, 8
	if b.rough.Load() {
		errs, lost = 30, 50
	}
	switch at := rng.IntN(100); {
	case at < errs:
		return simulated.Fault{Err: errBusy}
	case at < lost:
		return simulated.Fault{Lost: true, Err: errLost, Delay: time.Duration(rng.IntN(300)) * time.Millisecond}
	case at < lost+1:
		return simulated.Fault{Lost: true, Hang: true}
	case at < lost+5:
		return simulated.Fault{Delay: time.Duration(rng.IntN(800)) * time.Millisecond}
	}
	return nil
}

// heal ends all its troubles but those that each call brings along.
func (b *bank) heal() {
	b.down.Store(false)
	b.rough.Store(false)
	b.away.Store(0)
}
