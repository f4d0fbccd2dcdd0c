package app

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/config"
)

// warehouse is a database with one heavy user and many others.
type warehouse struct {
	t       *testing.T
	conn    *pgx.Conn
	root    *client
	user    *client
	userID  string
	webhook string
	serial  int
}

const (
	early = 100    // orders of others, when the tables were analyzed for the first time
	later = 10_000 // orders of others
	heavy = 20_000 // orders of the heavy user
)

// newWarehouse fills a database in the order in which it grows, without autovacuum, and analyzes the
// early state.
func newWarehouse(t *testing.T, cfg config.Config, conn *pgx.Conn) *warehouse {
	t.Helper()
	w := &warehouse{t: t, conn: conn}
	execute(t, conn, `do $$ declare r record; begin
		for r in select oid::regclass as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' loop
			execute format('alter table %s set (autovacuum_enabled = off)', r.name);
		end loop; end $$`)
	cfg.Roles = []string{"api"}
	s := serveTest(t, cfg)
	w.root = s.admin()
	w.root.product("KETTLE", 1_000_000)
	other := s.user("other").want(200, "GET", "/v1/users/me", "").text("id")
	w.fill(other, early, 20)
	execute(t, conn, "analyze")

	w.user = s.user("heavy") // the newest account, with the greatest id
	w.userID = w.user.want(200, "GET", "/v1/users/me", "").text("id")
	w.webhook = w.user.want(201, "POST", "/v1/webhooks", `{"url":"http://127.0.0.1:65001/","enabled":false}`).text("id")
	w.fill(other, later, 10)
	w.fill(w.userID, heavy, 0)
	w.catalogue()
	execute(t, conn, `update event_readers set (xid, seq) = (select xid, seq from events order by xid desc, seq desc limit 1)`)
	s.stop()
	return w
}

// learn gives the planner the statistics of a name; "stale" are those of the early state, which are
// there already.
func (w *warehouse) learn(known string) {
	w.t.Helper()
	switch known {
	case "fresh":
		execute(w.t, w.conn, "analyze")
	case "none":
		execute(w.t, w.conn, "set allow_system_table_mods = on")
		execute(w.t, w.conn, `delete from pg_statistic where starelid in (select oid from pg_class where relnamespace = 'public'::regnamespace)`)
		execute(w.t, w.conn, `update pg_class set reltuples = -1, relpages = 0 where relnamespace = 'public'::regnamespace and relkind in ('r', 'i')`)
	}
}

// fill adds orders of one user with all that belongs to them; the newest is so many days old.
func (w *warehouse) fill(user string, n, days int) {
	w.t.Helper()
	execute(w.t, w.conn, `create temporary table fresh as
		select i, (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(i::text || $1::text), 1, 3) || '8' || substr(md5($1::text || i::text), 1, 15))::uuid as id, at, $3::int as batch,
			(array['COMPLETED', 'COMPLETED', 'SHIPPED', 'CANCELLED'])[1 + i % 4] as status
		from (select i, now() - make_interval(days => $3::int, secs => 30 * ($2::int - i)) as at from generate_series(1, $2::int) i) as g`, user, n, days)
	for _, sql := range []string{
		`insert into orders (id, user_id, status, currency, total, reference, version, created_at, updated_at)
			select id, $1::uuid, status, 'EUR', 250, 'PO-' || i || '-' || batch || substr($1::uuid::text, 1, 8), 2, at, at from fresh`,
		`insert into order_lines (order_id, line, sku, name, quantity, unit_price, total) select id, 1, 'KETTLE', 'The KETTLE', 1, 250, 250 from fresh where $1::uuid is not null`,
		`insert into order_terms (order_id, terms) select id, array['kettle', 'the', 'po', 'rare' || i / 5000 * 5000] || case when i = 7 then '{unicorn}'::text[] else '{}' end from fresh where $1::uuid is not null`,
		`insert into events (order_id, version, user_id, type, data, actor, at)
			select id, v, $1::uuid, (array['order.created', 'order.confirmed'])[v], '{}', 'system', at from fresh, generate_series(1, 2) v`,
		`insert into notifications (id, user_id, order_id, version, type, at, read_at) select id, $1::uuid, id, 2, 'order.confirmed', at, case when i % 50 > 0 then at end from fresh`,
		`insert into inbox_counts (user_id, unread) select $1::uuid, count(*) filter (where i % 50 = 0) from fresh on conflict (user_id) do update set unread = inbox_counts.unread + excluded.unread`,
		`insert into payments (id, order_id, provider, currency, amount, state, reference, created_at, updated_at) select id, id, 'simulated', 'EUR', 250, 'captured', 'r', at, at from fresh where $1::uuid is not null`,
		`insert into ledger (order_id, kind, source, debit, credit, amount, currency, at) select id, 'capture', id, 'a', 'b', 250, 'EUR', at from fresh where $1::uuid is not null`,
		`insert into idempotency_keys (caller, route, key, fingerprint, status, body, created_at) select $1::uuid, 'POST /v1/orders', 'k' || i || '-' || batch, 'x', 201, '{}', at from fresh`,
		`insert into dead_letters (id, order_id, job_id, kind, step, error, attempts, created_at, resolved_at, resolution, resolved_by)
			select id, id, i, 'order_process', (array['process', 'refund'])[1 + i % 2], 'timeout ' || i, 8, at, case when i % 20 > 0 then at end, case when i % 20 > 0 then 'retried' end, case when i % 20 > 0 then 'system' end
			from fresh where i % 4 = 0 and $1::uuid is not null`,
		`insert into movements (id, sku, delta, stock, reason, actor, at) select id, 'KETTLE', -1, 1, 'order', 'system', at from fresh where $1::uuid is not null`,
		`insert into reservations (order_id, sku, quantity, state, created_at, updated_at) select id, 'KETTLE', 1, 'shipped', at, at from fresh where $1::uuid is not null`,
	} {
		execute(w.t, w.conn, sql, user)
	}
	if w.webhook != "" {
		execute(w.t, w.conn, `insert into webhook_deliveries (id, webhook_id, number, order_id, version, user_id, type, status, created_at)
			select id, $1, (select last_number from webhooks where id = $1) + i, id, 2, $2, (array['order.created', 'order.confirmed'])[1 + i % 2],
				case when i % 100 = 0 then 'failed' else 'delivered' end, at from fresh`, w.webhook, user)
		execute(w.t, w.conn, `update webhooks set last_number = (select max(number) from webhook_deliveries where webhook_id = $1) where id = $1`, w.webhook)
	}
	execute(w.t, w.conn, "drop table fresh")
}

// catalogue adds products, accounts and audit entries.
func (w *warehouse) catalogue() {
	w.t.Helper()
	for _, sql := range []string{
		`insert into products (sku, name, unit_price, currency, stock, active, created_at, updated_at)
			select 'SKU-' || lpad(i::text, 6, '0'), 'Thing ' || i, 100, 'EUR', 5, i % 3 > 0, now(), now() from generate_series(1, 8000) i`,
		`insert into users (id, email, email_key, role, password_hash, created_at, updated_at)
			select gen_random_uuid(), i || '@example.org', i || '@example.org', case when i % 100 = 0 then 'admin' else 'user' end, '', now(), now() from generate_series(1, 8000) i`,
		`insert into sessions (id, user_id, created_at, last_used_at, expires_at) select gen_random_uuid(), id, now(), now(), now() + interval '1 day' from users where email like '%@example.org'`,
	} {
		execute(w.t, w.conn, sql)
	}
}

// request is one that has to be fast.
type request struct {
	admin              bool
	method, path, body string
	headers            []string
}

// requests are those that read lists or write, with every filter that has an index or a window.
func (w *warehouse) requests() []request {
	w.t.Helper()
	w.serial++
	id := w.one(`select id::text from orders where user_id = $1 order by id desc offset 9000 limit 1`, w.userID)
	note := w.one(`select id::text from notifications where user_id = $1 and read_at is null order by id desc limit 1`, w.userID)
	orders := w.root.want(200, "GET", "/v1/orders?limit=10&userId="+w.userID, "").text("nextCursor")
	inbox := w.user.want(200, "GET", "/v1/notifications?limit=10", "").text("nextCursor")
	letter := w.one(`select id::text from dead_letters where resolved_at is null order by id limit 1`)
	var list []request
	for _, path := range []string{
		"/v1/orders?limit=100", "/v1/orders?limit=10&cursor=" + orders, "/v1/orders?status=SHIPPED", "/v1/orders?status=FAILED", "/v1/orders?status=CANCELLED&status=COMPLETED",
		"/v1/orders?reference=PO-77-0" + w.userID[:8], "/v1/orders?reference=none", "/v1/orders?createdFrom=2020-01-01T00:00:00Z&createdTo=2020-01-02T00:00:00Z",
		"/v1/orders?q=kettle", "/v1/orders?q=unicorn", "/v1/orders?q=none", "/v1/orders?q=kettle+unicorn", "/v1/orders?q=kettle&status=SHIPPED",
		"/v1/orders/" + id, "/v1/orders/" + id + "/events", "/v1/orders/" + id + "/ledger", "/v1/orders/" + id + "/refunds",
	} {
		list = append(list, request{method: http.MethodGet, path: path}, request{admin: true, method: http.MethodGet, path: path})
	}
	for _, path := range []string{
		"/v1/events?limit=100", "/v1/events?limit=100&types=order.confirmed", "/v1/events?orderId=" + id, "/v1/notifications?limit=100", "/v1/notifications?unread=true", "/v1/notifications?unread=false",
		"/v1/notifications?cursor=" + inbox, "/v1/webhooks", "/v1/webhooks/" + w.webhook + "/deliveries?limit=100", "/v1/webhooks/" + w.webhook + "/deliveries?status=failed",
		"/v1/webhooks/" + w.webhook + "/deliveries?status=delivered", "/v1/webhooks/" + w.webhook + "/deliveries?type=order.shipped", "/v1/webhooks/" + w.webhook + "/deliveries?orderId=" + id,
		"/v1/webhooks/" + w.webhook + "/deliveries?status=pending", "/v1/webhooks/" + w.webhook + "/deliveries/15000", "/v1/webhooks/" + w.webhook + "/replays",
		"/v1/products?limit=100", "/v1/products?q=thing+7", "/v1/products?q=none", "/v1/auth/sessions", "/v1/api-keys", "/v1/users/me/activity",
	} {
		list = append(list, request{method: http.MethodGet, path: path})
	}
	for _, path := range []string{
		"/v1/orders?userId=" + w.userID, "/v1/orders?userId=" + w.userID + "&status=FAILED", "/v1/orders?userId=" + w.userID + "&q=unicorn",
		"/v1/events?limit=100", "/v1/events?userId=" + w.userID, "/v1/dead-letters?limit=100", "/v1/dead-letters?step=refund", "/v1/dead-letters?step=capture",
		"/v1/dead-letters?resolved=true", "/v1/dead-letters?orderId=" + id, "/v1/dead-letters/" + letter, "/v1/products?active=false", "/v1/products/KETTLE/adjustments",
		"/v1/users?limit=100", "/v1/users?role=admin", "/v1/users?active=false", "/v1/users?q=77", "/v1/users/" + w.userID, "/v1/audit?limit=100", "/v1/audit?userId=" + w.userID, "/v1/audit?action=session.",
	} {
		list = append(list, request{admin: true, method: http.MethodGet, path: path})
	}
	key := fmt.Sprintf("Idempotency-Key: plan-%d", w.serial)
	order := `{"items":[{"sku":"KETTLE","quantity":1}]}`
	return append(list,
		request{method: http.MethodPost, path: "/v1/orders", body: order, headers: []string{key}},
		request{method: http.MethodPost, path: "/v1/orders", body: order, headers: []string{key}},
		request{method: http.MethodPost, path: "/v1/orders/quote", body: order},
		request{method: http.MethodPost, path: "/v1/orders/bulk", body: `{"orders":[` + order + `]}`},
		request{method: http.MethodPatch, path: "/v1/notifications/" + note, body: `{"read":true}`},
		request{admin: true, method: http.MethodPost, path: "/v1/dead-letters/" + letter + "/skip", body: `{"reason":"It is old."}`},
		request{admin: true, method: http.MethodPatch, path: "/v1/products/KETTLE", body: fmt.Sprintf(`{"name":"Kettle %d"}`, w.serial)},
	)
}

func (w *warehouse) one(sql string, args ...any) (text string) {
	w.t.Helper()
	if err := w.conn.QueryRow(w.t.Context(), sql, args...).Scan(&text); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return text
}
