package main

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// receivers is the one https server of all receivers of webhooks. They differ by path, so that a server
// which sends to few ports needs to be allowed one only.
type receivers struct {
	server *httptest.Server
	mu     sync.Mutex
	list   map[string]*receiver // by path
}

// openReceivers starts the server and writes its certificate, which the server under attack trusts,
// since webhooks are https.
func (l *lab) openReceivers() error {
	l.receivers = &receivers{list: map[string]*receiver{}}
	l.receivers.server = httptest.NewTLSServer(l.receivers)
	l.stops = append(l.stops, func() error {
		l.receivers.server.CloseClientConnections()
		l.receivers.server.Close()
		return nil
	})
	l.cert = filepath.Join(l.dir, "receivers.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.receivers.server.Certificate().Raw})
	return os.WriteFile(l.cert, raw, 0o600)
}

// port returns the port of the receivers.
func (r *receivers) port() string {
	return strconv.Itoa(r.server.Listener.Addr().(*net.TCPAddr).Port)
}

// ServeHTTP passes a request to its receiver. One that has ended answers no more.
func (r *receivers) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	one := r.list[req.URL.Path]
	r.mu.Unlock()
	if one == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	one.began(req)
	defer one.ended()
	if one.answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	one.answer(w, req)
}

// receiver is a receiver of webhooks. It records the time at which it was first told of each new order,
// and answers with the given handler, or with 204.
type receiver struct {
	url    string
	answer http.HandlerFunc
	done   chan struct{} // closed when its attack ends

	mu     sync.Mutex
	orders map[string]time.Time // at which they were told to be created
	count  int
	open   int
	most   int // requests that were open at once
}

func (x *trial) receiver(answer http.HandlerFunc) *receiver {
	if x.receivers == nil {
		x.skip("needs a private server, which sends to receivers of this program")
	}
	all := x.receivers
	all.mu.Lock()
	defer all.mu.Unlock()
	path := "/" + strconv.Itoa(len(all.list)+1)
	r := &receiver{url: all.server.URL + path, answer: answer, done: make(chan struct{}), orders: map[string]time.Time{}}
	all.list[path] = r
	x.atEnd(func() {
		close(r.done)
		all.mu.Lock()
		defer all.mu.Unlock()
		all.list[path] = nil // the path is not used again
	})
	return r
}

// hanging returns a receiver that answers when the client has gone or the attack has ended.
func (x *trial) hanging() *receiver {
	r := x.receiver(nil)
	r.answer = func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-req.Context().Done():
		case <-r.done:
		}
	}
	return r
}

func (r *receiver) began(req *http.Request) {
	raw, _ := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	var event struct{ Type, Subject string }
	_ = json.Unmarshal(raw, &event)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	r.open++
	r.most = max(r.most, r.open)
	if event.Type == "order.created" && r.orders[event.Subject].IsZero() {
		r.orders[event.Subject] = time.Now()
	}
}

func (r *receiver) ended() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
}

// told returns the time of the first order.created of an order, which is zero if there was none.
func (r *receiver) told(order string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.orders[order]
}

// requests returns the number of requests so far, and of those that were open at once.
func (r *receiver) requests() (count, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count, r.most
}
