package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	placers      = 20 // accounts that place orders
	floorClients = 64 // at which the product is compared with the floor
	drainWithin  = 3 * time.Minute
)

// floorAndPlace measures the floor before and after placing, so that a change of the speed of the
// machine is visible in the two passes of the floor.
func (b *bench) floorAndPlace(ctx context.Context) error {
	s, tokens, err := b.market(ctx, "api")
	if err != nil {
		return err
	}
	defer s.stop()

	var before, after floorPass
	if b.opt.wants("floor") {
		if before, err = s.floor(ctx, tokens[0], "first pass"); err != nil {
			return err
		}
	}
	compared, err := s.placeSteps(ctx, tokens, "api", false)
	if err != nil {
		return err
	}
	if b.opt.wants("floor") {
		if after, err = s.floor(ctx, tokens[0], "second pass"); err != nil {
			return err
		}
		b.ratios(compared, before, after)
	}
	s.stop()
	if !b.opt.wants("place") {
		return nil
	}

	both, tokens, err := b.market(ctx, "api,worker")
	if err != nil {
		return err
	}
	defer both.stop()
	_, err = both.placeSteps(ctx, tokens, "api,worker", true)
	return err
}

// market is a server with logged-in customers. The given environment variables take precedence.
func (b *bench) market(ctx context.Context, roles string, env ...string) (*server, []string, error) {
	s, err := b.serve(ctx, roles, env...)
	if err != nil {
		return nil, nil, err
	}
	if err := s.people(ctx, placers); err != nil {
		s.stop()
		return nil, nil, err
	}
	tokens, err := s.tokens(ctx, placers)
	if err != nil {
		s.stop()
		return nil, nil, err
	}
	return s, tokens, nil
}

// placeSteps places orders with each number of clients, and returns the rate at the number at which
// the floor is compared. With drained it waits for the workers after each step, so that they do not
// slow down the next one.
func (s *server) placeSteps(ctx context.Context, tokens []string, roles string, drained bool) (compared float64, err error) {
	clients := s.opt.clients
	switch {
	case !s.opt.wants("place"):
		clients = []int{floorClients}
	case !drained && s.opt.wants("floor"):
		clients = withFloor(clients)
	}
	s.report.title("Placing over HTTP, roles=%s", roles)
	s.report.columns()
	for _, n := range clients {
		st, err := s.place(ctx, n, tokens, s.opt.timing)
		if err != nil {
			return 0, err
		}
		s.report.step("place", "POST /v1/orders, roles="+roles, n, st)
		if n == floorClients {
			compared = st.rate
		}
		if drained {
			if _, err := s.drain(ctx); err != nil {
				return 0, err
			}
		}
	}
	return compared, nil
}

// withFloor adds the number of clients at which the floor is compared.
func withFloor(clients []int) []int {
	clients = append(slices.Clone(clients), floorClients)
	slices.Sort(clients)
	return slices.Compact(clients)
}

func (s *server) place(ctx context.Context, clients int, tokens []string, t timing) (step, error) {
	c := s.client(clients)
	defer c.CloseIdleConnections()
	return s.drive(ctx, clients, t, func(i int) (worker, error) {
		p := s.placer(c, tokens[i%len(tokens)], i)
		return worker{do: p.place}, nil
	})
}

// placer places one order after the other, each with its own key.
type placer struct {
	*exchange
	key []byte
	own int // length of the constant part
	n   uint64
}

func (s *server) placer(c *fasthttp.HostClient, token string, i int) *placer {
	p := &placer{exchange: s.exchange(c, http.MethodPost, "/v1/orders", token)}
	p.key = fmt.Appendf(nil, "%s-%d-", rand.Text()[:8], i)
	p.own = len(p.key)
	p.req.Header.SetContentType("application/json")
	p.req.SetBodyString(basket(i))
	return p
}

func (p *placer) place() error {
	p.n++
	p.key = strconv.AppendUint(p.key[:p.own], p.n, 10)
	p.req.Header.SetBytesV("Idempotency-Key", p.key)
	return p.do()
}

// basket has one line or two.
func basket(i int) string {
	first, second := products[i%len(products)], products[(i+3)%len(products)]
	if i%2 == 0 {
		return fmt.Sprintf(`{"items":[{"sku":%q,"quantity":1}]}`, first.sku)
	}
	return fmt.Sprintf(`{"items":[{"sku":%q,"quantity":2},{"sku":%q,"quantity":1}]}`, first.sku, second.sku)
}

var errUndrained = errors.New("some orders were not processed")

// drain waits until all orders have been processed.
func (s *server) drain(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for {
		c, err := s.counters()
		switch {
		case err != nil:
			return 0, err
		case c.processed >= c.placed:
			return time.Since(began), nil
		case time.Since(began) > drainWithin:
			return 0, fmt.Errorf("%w: %.0f of %.0f after %s", errUndrained, c.placed-c.processed, c.placed, drainWithin)
		}
		pause(ctx, 50*time.Millisecond)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
}
