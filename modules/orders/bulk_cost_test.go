package orders_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/orderflow-dev/orderflow/modules/inventory"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// tally counts what is sent to the database.
type tally struct{ statements, transactions atomic.Int64 }

func (c *tally) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	c.statements.Add(1)
	if strings.EqualFold(q.SQL, "begin") {
		c.transactions.Add(1)
	}
	return ctx
}

func (c *tally) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *tally) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (c *tally) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {
	c.statements.Add(1)
}

func (c *tally) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (c *tally) reset() { c.statements.Store(0); c.transactions.Store(0) }

// counted opens a node whose statements are counted.
func counted(t *testing.T, c *tally, more ...option) option {
	return func(d *orders.Deps) {
		cfg := d.Pool.Config()
		cfg.ConnConfig.Tracer = c
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		d.Pool = &postgres.Pool{Pool: pool}
		d.Catalogue = inventory.New(inventory.Deps{Pool: d.Pool, InFlight: d.InFlight, Changed: func() {}, Log: d.Log})
		for _, o := range more {
			o(d)
		}
	}
}

// API4:2023, ASVS 5.0 15.2.2: the number of statements of a refused bulk request does not grow
// with its orders, for any fault.
func TestRefusedBulkCostsTheSame_C11(t *testing.T) {
	t.Parallel()
	const line = `{"items":[{"sku":"A","quantity":1}]`
	shapes := map[string]struct {
		needsMethod bool
		order       string // %d is its number
		key         string
	}{
		"unknown skus":    {order: `{"items":[{"sku":"gone-%[1]d","quantity":1},{"sku":"gone","quantity":1}]}`},
		"one unknown sku": {order: `{"items":[{"sku":"gone","quantity":1}],"note":"%[1]d"}`},
		"inactive":        {order: `{"items":[{"sku":"OFF","quantity":1}],"note":"%[1]d"}`},
		"currencies":      {order: `{"items":[{"sku":"A","quantity":1},{"sku":"USD","quantity":1}],"note":"%[1]d"}`},
		"overflow":        {order: `{"items":[{"sku":"DEAR","quantity":1000000},{"sku":"DEAR","quantity":1000000}],"note":"%[1]d"}`},
		"taken":           {order: line + `,"reference":"old","note":"%[1]d"}`},
		"no method":       {order: line + `,"note":"%[1]d"}`, needsMethod: true},
		"metadata":        {order: line + `,"note":"%[1]d","metadata":{"x":"` + strings.Repeat("x", 17<<10) + `"}}`},
		"schema":          {order: `{"items":[],"note":"%[1]d"}`},
		"used key":        {order: `{"items":[{"sku":"gone","quantity":1}],"note":"%[1]d"}`, key: "used"},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c tally
			f := open(t, setup(t, counted(t, &c, func(d *orders.Deps) { d.NeedsMethod = shape.needsMethod })))
			f.products(map[string]int64{"A": -1, "OFF": -1, "USD": -1, "DEAR": -1})
			f.exec(`update products set active = false where sku = 'OFF'`)
			f.exec(`update products set currency = 'USD' where sku = 'USD'`)
			f.exec(`update products set unit_price = 9000000000000 where sku = 'DEAR'`)
			if !shape.needsMethod {
				f.place(f.alice, referring(basket("A", 1), "old"))
			}
			for _, mode := range []string{"independent", "atomic"} {
				ask := func(n int) (statements, transactions int64) {
					var list []string
					for i := range n {
						list = append(list, fmt.Sprintf(shape.order, i))
					}
					var headers []string
					if shape.key != "" {
						f.ask("alice", bulk, `{"mode":"`+mode+`","orders":[`+line+`}]}`, "Idempotency-Key: "+shape.key+mode)
						headers = []string{"Idempotency-Key: " + shape.key + mode}
					}
					f.ask("alice", bulk, `{"mode":"`+mode+`","orders":[`+strings.Join(list, ",")+`]}`, headers...) // the prices are remembered, plans are made
					c.reset()
					status, body := f.ask("alice", bulk, `{"mode":"`+mode+`","orders":[`+strings.Join(list, ",")+`]}`, headers...)
					if status == 200 && strings.Contains(body, `"status":201`) || status >= 500 {
						t.Fatalf("%s of %d is not refused: %d %.300s", mode, n, status, body)
					}
					return c.statements.Load(), c.transactions.Load()
				}

				few, fewTx := ask(2)
				many, manyTx := ask(300)

				// A few statements more when a second passes: the catalogue's version is asked for.
				if fewTx != manyTx || manyTx > 2 || many > few+3 {
					t.Errorf("%s: two orders are %d statements in %d transactions, 300 are %d in %d", mode, few, fewTx, many, manyTx)
				}
			}
		})
	}
}
