package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// The floor writes the same order in the simplest way: one transaction for each order, and one
// statement for each table, on tables like those of the product. It has no HTTP, prices, search
// terms or accounts, so it measures the cost of PostgreSQL alone.
var floorTables = []string{"orders", "order_lines", "events", "idempotency_keys", "river_job"}

var floorSQL = []string{
	`insert into floor_orders (id, user_id, status, currency, total, on_shortage, version, due_at, created_at, updated_at)
		values ($1, $2, 'PENDING', 'EUR', $3, 'fail', 1, $4, $5, $5)`,
	`insert into floor_order_lines (order_id, line, sku, name, quantity, unit_price, total) values ($1, 1, $2, $3, 1, $4, $4)`,
	`insert into floor_events (order_id, version, user_id, type, data, actor, at) values ($1, 1, $2, 'order.created', $3, $4, $5)`,
	`insert into floor_idempotency_keys (caller, route, key, fingerprint, status, headers, body) values ($1, $2, $3, $4, 201, $5, $6)`,
	`insert into floor_river_job (args, kind, max_attempts, metadata, priority, queue, scheduled_at, state, tags)
		values ($1, 'order_process', 8, '{}', 1, 'default', $2, 'available', '{}')`,
}

// floorPass has the rates at the number of clients at which the product is compared.
type floorPass struct {
	plain, pipelined float64
}

// sample is an order written by the product. The rows of the floor are copies of it.
type sample struct {
	user               uuid.UUID
	data, body         string
	actor, route, head string
	print              []byte
}

func (s *server) floor(ctx context.Context, token, pass string) (result floorPass, err error) {
	of, err := s.sample(ctx, token)
	if err != nil {
		return result, err
	}
	for _, t := range floorTables {
		_, err := s.db.Exec(ctx, fmt.Sprintf("drop table if exists floor_%[1]s; create table floor_%[1]s (like %[1]s including all)", t))
		if err != nil {
			return result, fmt.Errorf("create the floor's %s: %w", t, err)
		}
	}

	s.report.title("Floor: plain pgx, one transaction an order, %s", pass)
	s.report.columns()
	clients := slices.DeleteFunc(withFloor(s.opt.clients), func(n int) bool { return n > floorClients })
	for _, n := range clients {
		st, err := s.floorStep(ctx, n, of, (*floorClient).plain)
		if err != nil {
			return result, err
		}
		s.report.step("floor", "statement by statement, "+pass, n, st)
		result.plain = st.rate // the last step has floorClients
	}
	st, err := s.floorStep(ctx, floorClients, of, (*floorClient).pipelined)
	if err != nil {
		return result, err
	}
	s.report.step("floor", "all in one round trip, "+pass, floorClients, st)
	result.pipelined = st.rate

	_, err = s.db.Exec(ctx, "drop table floor_"+strings.Join(floorTables, ", floor_"))
	return result, err
}

func (b *bench) ratios(placed float64, passes ...floorPass) {
	var plain, pipelined []float64
	for _, p := range passes {
		plain, pipelined = append(plain, p.plain), append(pipelined, p.pipelined)
	}
	b.report.title("Placing over HTTP against the floor, which is the mean of both passes")
	b.report.value("floor", "statement by statement", floorClients, placed/mean(plain...), "times the floor")
	b.report.value("floor", "all in one round trip", floorClients, placed/mean(pipelined...), "times the floor")
	b.report.value("floor", "drift between the passes", floorClients, 100*(slices.Max(plain)/slices.Min(plain)-1), "%")
}

// sample places an order and reads its rows.
func (s *server) sample(ctx context.Context, token string) (o sample, err error) {
	c := s.client(1)
	defer c.CloseIdleConnections()
	p := s.placer(c, token, 0)
	if err := p.place(); err != nil {
		return o, err
	}
	err = s.db.QueryRow(ctx, `
		select e.user_id, e.data::text, e.actor, k.route, k.headers::text, k.fingerprint, convert_from(k.body, 'utf8')
		from idempotency_keys k join events e on e.order_id = substring(k.headers->>'Location' from '[^/]+$')::uuid
		where k.key = $1`, string(p.key)).
		Scan(&o.user, &o.data, &o.actor, &o.route, &o.head, &o.print, &o.body)
	if err != nil {
		return o, fmt.Errorf("read a sample order: %w", err)
	}
	return o, nil
}

func (s *server) floorStep(ctx context.Context, clients int, of sample, write func(*floorClient, context.Context) error) (step, error) {
	return s.drive(ctx, clients, s.opt.timing, func(i int) (worker, error) {
		conn, err := pgx.ConnectConfig(ctx, s.db.Config().ConnConfig.Copy())
		if err != nil {
			return worker{}, err
		}
		c := &floorClient{conn: conn, of: of}
		return worker{
			do: func() error {
				ctx, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				return write(c, ctx)
			},
			close: func() { _ = conn.Close(context.WithoutCancel(ctx)) },
		}, nil
	})
}

type floorClient struct {
	conn *pgx.Conn
	of   sample
}

// rows are the arguments of floorSQL for a new order.
func (c *floorClient) rows() ([][]any, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	at := time.Now().UTC().Truncate(time.Millisecond)
	args, err := json.Marshal(map[string]uuid.UUID{"orderId": id})
	if err != nil {
		return nil, err
	}
	of, p := c.of, products[0]
	return [][]any{
		{id, of.user, p.cents, at.Add(30 * time.Second), at},
		{id, p.sku, p.name, p.cents},
		{id, of.user, of.data, of.actor, at},
		{of.user, of.route, id.String(), of.print, of.head, []byte(of.body)},
		{string(args), at},
	}, nil
}

func (c *floorClient) plain(ctx context.Context) error {
	rows, err := c.rows()
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) error {
		for i, args := range rows {
			if _, err := tx.Exec(ctx, floorSQL[i], args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// pipelined sends all statements at once. PostgreSQL runs such a batch as one transaction.
func (c *floorClient) pipelined(ctx context.Context) error {
	rows, err := c.rows()
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	for i, args := range rows {
		b.Queue(floorSQL[i], args...)
	}
	return c.conn.SendBatch(ctx, b).Close()
}
