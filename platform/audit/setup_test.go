package audit

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/requestid"
	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }

var (
	renamed = Action{Name: "thing.renamed", Subject: "thing", Fields: []string{"size", "tags"}, Doc: "A thing changed."}
	failed  = Action{Name: "login.failed", Subject: "user"}
	limited = Action{Name: "login.limited", Subject: "user"}
)

// bundle is a database with a sealer.
type bundle struct {
	t    *testing.T
	ctx  context.Context
	url  string
	pool *postgres.Pool
	keys Keys
	log  *syncbuf.Buffer
	*Sealer
}

func setup(t *testing.T, keys ...string) *bundle {
	t.Helper()
	b := &bundle{t: t, ctx: t.Context(), url: pgtest.URL(t), log: &syncbuf.Buffer{}}
	pool, err := postgres.Open(t.Context(), b.url, 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b.pool = pool
	for _, text := range keys {
		if b.keys, err = ParseKeys(text); err != nil {
			t.Fatal(err)
		}
	}
	b.Sealer = NewSealer(pool, b.keys, 0, slog.New(slog.NewJSONHandler(b.log, nil)))
	return b
}

// requestOf is the context of a request.
func requestOf(ctx context.Context, address, id string) context.Context {
	return requestid.With(clientaddr.With(ctx, netip.MustParseAddr(address)), id)
}

func (b *bundle) record(subjects ...string) {
	b.t.Helper()
	for _, s := range subjects {
		if err := Record(b.ctx, b.pool, Entry{Action: renamed, Subject: s}); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bundle) seal() {
	b.t.Helper()
	if err := b.Seal(b.ctx); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.ctx, sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bundle) number(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.ctx, sql, args...).Scan(&n); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func (b *bundle) list(f Filter) []Stored {
	b.t.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	list, err := List(b.ctx, b.pool, f)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// verify returns what the laws find.
func (b *bundle) verify() (found []string) {
	b.t.Helper()
	return b.verifyOn(b.pool)
}

func (b *bundle) verifyOn(q postgres.Querier) (found []string) {
	b.t.Helper()
	for _, law := range Laws(b.keys) {
		err := law.Check(b.ctx, q, func(subject, detail string) { found = append(found, law.Name+": "+subject+" "+detail) })
		if err != nil {
			b.t.Fatalf("%s: %v", law.Name, err)
		}
	}
	return found
}

// tampered returns what the laws find after a change with the triggers disabled, which is rolled
// back.
func (b *bundle) tampered(sql string) (found []string) {
	b.t.Helper()
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	_, err = tx.Conn().PgConn().Exec(b.ctx, `alter table audit_entries disable trigger user; alter table audit_blocks disable trigger user; `+sql).ReadAll()
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return b.verifyOn(tx)
}

func someone(role identity.Role) identity.Caller {
	return identity.Caller{UserID: uuid.New(), SessionID: uuid.New(), Role: role}
}

func subjects(list []Stored) string {
	var names []string
	for _, s := range list {
		names = append(names, s.Subject)
	}
	return fmt.Sprint(names)
}
