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

// bank is the payment provider: the simulated one of the product, in this process, so that it
// outlives the processes that call it and its journal shows which money really moved.
type bank struct {
	*simulated.Bank
	listener net.Listener
	server   *http.Server

	down  atomic.Bool  // connections are closed at once
	rough atomic.Bool  // half of all calls fail
	away  atomic.Int64 // it reports itself as unavailable for this time
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
				panic(http.ErrAbortHandler) // no response; net/http closes the connection
			}
			answer.ServeHTTP(w, r)
		}),
	}
	go func() { _ = b.server.Serve(b.listener) }() // ends with close
	return b, nil
}

func (b *bank) url() string { return "http://" + b.listener.Addr().String() }

func (b *bank) close() error { return b.server.Close() }

// trouble returns the fault of a call. It depends on the seed, the key and the number of calls with
// that key, and not on the time.
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

// heal ends all faults except those of individual calls.
func (b *bank) heal() {
	b.down.Store(false)
	b.rough.Store(false)
	b.away.Store(0)
}
