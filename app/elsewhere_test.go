package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// E3: a database whose log was written elsewhere, as a dump leaves it that was restored
// into another cluster, is neither served nor written to until it is migrated. Then
// clients receive a reset, and nothing has to be restarted.
func TestLogFromElsewhere(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	s := serveTest(t, cfg)
	root, ann := s.admin(), s.user("ann")
	root.product("KETTLE", 100)
	first := ann.order("KETTLE", 1)
	ann.becomes(first, "PROCESSING")
	listening := ann.socket("")
	conn, err := pgx.Connect(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	do := func(sql string) {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}

	do(`update event_log set epoch = '0badcafe'`)
	do(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)

	testwait.Until(t, "the node to notice", func() bool {
		a, err := s.anonymous().try("GET", "/readyz", "")
		return err == nil && a.status == 503 && strings.Contains(string(a.raw), "another cluster")
	})
	if a := s.anonymous().send("GET", "/health", ""); a.status != 503 || a.text("parts.events.status") != "down" ||
		!strings.Contains(a.text("parts.events.detail"), "orderflow migrate") || a.text("parts.database.status") != "ok" {
		t.Errorf("health: %s", a)
	}
	if a := ann.send("POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}]}`, "Idempotency-Key: refused"); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("order: %s", a)
	}
	if err := startInProduction(t, cfg); !errors.Is(err, events.ErrForeignLog) {
		t.Errorf("another node starts: %v", err)
	}
	var n int
	if err := conn.QueryRow(t.Context(), `select count(*) from orders`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d orders, %v", n, err)
	}

	if err := migrations.Up(t.Context(), cfg.DatabaseURL.Reveal()); err != nil {
		t.Fatal(err)
	}
	s.ready()
	testwait.Until(t, "the reset", func() bool {
		m, err := listening.next()
		if err != nil {
			t.Fatal(err)
		}
		return m.Type == "reset"
	})
	second := ann.order("KETTLE", 2)
	listening.until("order.processing", second)
}

// startInProduction starts a node as production does, which does not migrate by itself.
func startInProduction(t *testing.T, cfg config.Config) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Env = config.Production
	p, err := newProgram(&cfg, extensions{})
	if err != nil {
		t.Fatal(err)
	}
	return p.serveOn(t.Context(), unhurried, slog.New(slog.DiscardHandler), listeners{public: listener}, io.Discard)
}
