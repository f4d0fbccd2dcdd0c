package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	buyers   = 500
	hotSKU   = "BENCH-HOT"
	hotStock = 2000
)

// hot lets many buyers order few units of one sku concurrently: each gets a 201 and a decision, and
// no unit is sold twice (SPEC B2).
func (b *bench) hot(ctx context.Context) error {
	s, tokens, err := b.market(ctx, "api,worker")
	if err != nil {
		return err
	}
	defer s.stop()
	product := map[string]any{"sku": hotSKU, "name": "The last ones", "unitPrice": map[string]any{"amount": 1250, "currency": "EUR"}, "stock": hotStock}
	if err := s.call(http.MethodPost, "/v1/products", s.token, product, nil); err != nil {
		return err
	}

	from := time.Now()
	st, err := s.rush(ctx, tokens)
	if err != nil {
		return err
	}
	sold, refused, took, err := s.decided(ctx, from)
	if err != nil {
		return err
	}

	s.report.title("%d parallel buyers of %d units of one sku, roles=api,worker", buyers, hotStock)
	s.report.columns()
	s.report.step("hot", "POST /v1/orders", buyers, st)
	s.report.value("hot", "decided, to the last one", buyers, float64(sold+refused)/took.Seconds(), "orders/s")
	s.report.value("hot", "sold", buyers, float64(sold), "orders")
	s.report.value("hot", "out of stock", buyers, float64(refused), "orders")
	var reserved int
	if err := s.db.QueryRow(ctx, "select reserved from products where sku = $1", hotSKU).Scan(&reserved); err != nil {
		return err
	}
	if reserved != sold || reserved > hotStock || sold < hotStock && refused > 0 {
		return fmt.Errorf("%d of %d units are reserved, %d orders were sold and %d refused", reserved, hotStock, sold, refused)
	}
	return nil
}

func (s *server) rush(ctx context.Context, tokens []string) (step, error) {
	c := s.client(buyers)
	defer c.CloseIdleConnections()
	return s.drive(ctx, buyers, timing{step: s.opt.step}, func(i int) (worker, error) {
		p := s.placer(c, tokens[i%len(tokens)], i)
		p.req.SetBodyString(fmt.Sprintf(`{"items":[{"sku":%q,"quantity":1}]}`, hotSKU))
		return worker{do: p.place}, nil
	})
}

// decided waits until no order is PENDING any more.
func (s *server) decided(ctx context.Context, from time.Time) (sold, refused int, took time.Duration, err error) {
	for time.Since(from) < drainWithin {
		var open int
		err := s.db.QueryRow(ctx, `
			select count(*) filter (where status in ('PENDING', 'CONFIRMED')), count(*) filter (where status = 'PROCESSING'),
				count(*) filter (where status = 'FAILED' and failure_code = 'out-of-stock') from orders`).Scan(&open, &sold, &refused)
		if err != nil || open == 0 {
			return sold, refused, time.Since(from), err
		}
		pause(ctx, 50*time.Millisecond)
		if ctx.Err() != nil {
			return 0, 0, 0, ctx.Err()
		}
	}
	return 0, 0, 0, errors.New("orders for the last units stay undecided")
}
