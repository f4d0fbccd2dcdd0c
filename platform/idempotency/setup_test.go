package idempotency_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }

// node is one process: its own pool and its own knowledge of what is running.
type node struct {
	t *testing.T
	*postgres.Pool
	idempotency.InFlight
}

func open(t *testing.T, address string) *node {
	t.Helper()
	pool, err := postgres.Open(context.Background(), address, 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &node{t: t, Pool: pool}
}

// with is the address with one more parameter.
func with(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// setup is a node on a fresh database with a table to write to.
func setup(t *testing.T) *node {
	t.Helper()
	n := open(t, pgtest.URL(t))
	n.exec("create table work (n int)")
	return n
}

func (n *node) exec(sql string, args ...any) {
	n.t.Helper()
	if _, err := n.Exec(context.Background(), sql, args...); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) count(sql string, args ...any) (c int) {
	n.t.Helper()
	if err := n.QueryRow(context.Background(), sql, args...).Scan(&c); err != nil {
		n.t.Fatal(err)
	}
	return c
}

func (n *node) worked() int { n.t.Helper(); return n.count("select count(*) from work") }
func (n *node) keys() int   { n.t.Helper(); return n.count("select count(*) from idempotency_keys") }

func request(name, body string) idempotency.Request {
	return idempotency.Request{Caller: uuid.MustParse("018f0000-0000-7000-8000-000000000001"), Route: "POST /v1/things", Key: name, Fingerprint: []byte(body)}
}

func key(name, body string) idempotency.Key[thing] {
	return idempotency.Key[thing]{Request: request(name, body), Renderer: renderer{}}
}

// thing is the value of the work, {"a":1} as a response.
type thing struct {
	A int `json:"a"`
}

// renderer is the HTTP edge's.
type renderer struct{}

func (renderer) RenderResponse(_ context.Context, v thing) (idempotency.Response, error) {
	r := created
	r.Body = fmt.Appendf(nil, `{"a":%d}`, v.A)
	return r, nil
}

func (renderer) ParseResponse(r idempotency.Response) (v thing, err error) {
	err = json.Unmarshal(r.Body, &v)
	return v, err
}

// work writes a row and then returns the given result.
type work struct {
	runs atomic.Int32
	end  func(tx pgx.Tx) (thing, error)
}

func (n *node) do(k idempotency.Key[thing], w *work) (idempotency.Result[thing], error) {
	ctx := n.t.Context()
	return idempotency.Do(ctx, &n.InFlight, n.Pool, k, func(tx pgx.Tx) (thing, error) {
		w.runs.Add(1)
		if _, err := tx.Exec(ctx, "insert into work values (1)"); err != nil {
			return thing{}, err
		}
		return w.end(tx)
	})
}

func returns(v thing) *work {
	return &work{end: func(pgx.Tx) (thing, error) { return v, nil }}
}

func fails(err error) *work {
	return &work{end: func(pgx.Tx) (thing, error) { return thing{}, err }}
}
