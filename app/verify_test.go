package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/laws"
)

// story is a database with orders in every state, without pending work.
type story struct {
	conn   *pgx.Conn
	orders map[string]string // id by state
}

func tell(t *testing.T) *story {
	t.Helper()
	cfg := settings(t)
	s := serveTest(t, cfg, WithStep(orders.Step{Name: heldStep, Check: holdIfAsked}))
	root, ann := s.admin(), s.user("ann")
	told := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(told.Close)
	ann.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q}`, told.URL))
	root.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q,"ordering":"order"}`, told.URL))
	root.product("KETTLE", 100)
	root.want(201, "POST", "/v1/products", `{"sku":"SAMPLE","name":"A sample","unitPrice":{"amount":0,"currency":"EUR"},"stock":9}`)
	root.want(201, "POST", "/v1/products", `{"sku":"RARE","name":"A rare one","unitPrice":{"amount":100,"currency":"EUR"},"stock":0}`)

	order := func(status, basket string) string {
		id := ann.want(201, "POST", "/v1/orders", basket, "Idempotency-Key: "+status+basket[2:9]).text("id")
		ann.becomes(id, status)
		return id
	}
	kettles := `{"items":[{"sku":"KETTLE","quantity":2},{"sku":"KETTLE","quantity":1}]`
	o := map[string]string{
		"processing": order("PROCESSING", kettles+`}`),
		"free":       order("PROCESSING", `{"note":"a gift","items":[{"sku":"SAMPLE","quantity":1}]}`),
		"declined":   order("FAILED", kettles+`,"paymentMethod":"pm_card_chargeDeclined"}`),
		"short":      order("ON_HOLD", `{"onShortage":"hold","items":[{"sku":"RARE","quantity":1}]}`),
		"checked":    order("ON_HOLD", `{"note":"to be held","items":[{"sku":"KETTLE","quantity":1}]}`),
	}
	path := func(name string) string { return "/v1/orders/" + o[name] }
	another := func(name, extra string) string {
		o[name] = ann.want(201, "POST", "/v1/orders", kettles+extra+`}`, "Idempotency-Key: "+name).text("id")
		ann.becomes(o[name], "PROCESSING")
		return path(name)
	}
	captured := func(name string) {
		root.want(200, "PATCH", path(name)+"/status", `{"status":"SHIPPED","tracking":"1Z"}`)
		testwait.Until(t, name+" to be captured", func() bool { return root.want(200, "GET", path(name), "").text("paymentStatus") == "CAPTURED" })
	}
	root.want(200, "POST", another("held", "")+"/hold", `{"reason":"look"}`)
	root.want(200, "POST", another("cancelled", "")+"/cancel", `{}`)
	root.want(204, "DELETE", another("deleted", ""), "")
	another("refunded", "")
	captured("refunded")
	root.want(201, "POST", path("refunded")+"/refunds", `{"items":[{"sku":"KETTLE","quantity":1}],"reason":"broken"}`)
	another("stalled", `,"paymentMethod":"pm_sim_refundFails"`)
	captured("stalled")
	root.want(201, "POST", path("stalled")+"/refunds", `{"amount":{"amount":1,"currency":"EUR"},"reason":"broken"}`)

	conn, err := connectToVerify(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	testwait.Until(t, "rest", func() bool {
		r, err := verify(t.Context(), conn, audit.Keys{}, true, 0, nil)
		return err == nil && r.Broken == 0 && len(r.findings) > 0 && restful(t, conn)
	})
	s.stop()
	return &story{conn, o}
}

// restful: the last refund has failed as it should, and not just not begun.
func restful(t *testing.T, conn *pgx.Conn) (yes bool) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), `select count(*) = 1 from dead_letters`).Scan(&yes); err != nil {
		t.Fatal(err)
	}
	return yes
}

// F2: each law detects a violation. Every row violates one in the database of the story, in a
// transaction that is rolled back.
func TestEveryLawIsSeenBroken(t *testing.T) {
	t.Parallel()
	s := tell(t)
	const unknown = "00000000-0000-0000-0000-000000000001"
	rows := []struct {
		law     string
		breaks  string // @name is the id of that order
		subject string
	}{
		{"key-without-order", `update idempotency_keys set body = convert_to('{"id":"` + unknown + `"}', 'UTF8') where key = 'held'`, "key held of user"},
		{"bulk-key-without-order", `update idempotency_keys set route = 'POST /v1/orders/bulk', body = convert_to('{"data":[{"order":{"id":"` + unknown + `"}}]}', 'UTF8') where key = 'held'`, "key held of user"},
		{"order-without-lines", `delete from order_lines where order_id = @free`, "order @free"},
		{"order-total", `update orders set total = total + 1 where id = @short`, "order @short"},
		{"orphans", `update order_terms set order_id = '` + unknown + `' where order_id = @free`, "words of order " + unknown},
		{"orphans", `update order_steps set order_id = '` + unknown + `' where order_id = @free`, "steps of order " + unknown},
		{"unsearchable", `delete from order_terms where order_id = @free`, "order @free"},
		{"deleted", `update orders set deleted_at = now() where id = @free`, "order @free"},
		{"counts", `update order_counts set n = n + 1 where id = (select min(id) from order_counts)`, "status "},
		{"first-event", `update events set type = 'order.confirmed' where order_id = @free and version = 1`, "order @free"},
		{"versions", `delete from events where order_id = @free and version = 2`, "order @free"},
		{"event-order", `update events set xid = '3' where order_id = @free and version = 2`, "order @free"},
		{"event-user", `update events set user_id = '` + unknown + `' where order_id = @free and version = 2`, "order @free"},
		{"illegal-move", `update events set actor = 'user:' || user_id where order_id = @free and type = 'order.processing'`, "order @free"},
		{"fold", `update orders set note = 'no gift' where id = @free`, "order @free"},
		{"reserved", `update products set reserved = reserved + 1 where sku = 'KETTLE'`, "product KETTLE"},
		{"available", `alter table products drop column available; alter table products add column available bigint`, "product "},
		{"stock", `update products set stock = stock + 1 where sku = 'KETTLE'`, "product KETTLE"},
		{"finished-holds", `update reservations set state = 'held' where order_id = @cancelled`, "order @cancelled"},
		{"holds-its-lines", `update reservations set quantity = quantity - 1 where order_id = @held`, "order @held"},
		{"stock-events", `update events set type = 'stock.released' where order_id = @free and type = 'stock.reserved'`, "order @free"},
		{"reserved-until", `update orders set status = 'PENDING', due_at = now(), reserved_until = now() where id = @declined`, "order @declined"},
		{"reserved-until", `update orders set reserved_until = null where id = @checked`, "order @checked"},
		{"step-undecided", `update order_steps set status = 'pending', decided_at = null where order_id = @free`, "order @free"},
		{"step-undecided", `update order_steps set status = 'failed' where order_id = @held`, "order @held"},
		{"step-count", `update orders set steps = steps + 1 where id = @free`, "order @free"},
		{"step-held", `update orders set status = 'PENDING', held_from = null, due_at = now() where id = @checked`, "order @checked"},
		{"one-live-payment", `insert into payments select gen_random_uuid(), order_id, provider, method, currency, amount, 'authorizing', null, null, null, now(), now() from payments where order_id = @held`, "order @held"},
		{"unpaid", `update payments set state = 'voided' where order_id = @held`, "order @held"},
		{"payment-amount", `update payments set amount = amount - 1 where order_id = @held`, "payment "},
		{"payment-status", `update orders set payment_status = 'VOIDED' where id = @held`, "order @held"},
		{"money-on-order", `update orders set captured = captured - 1 where id = @refunded`, "order @refunded"},
		{"refund-of-nothing", `update refunds set amount = amount + 1000 where order_id = @refunded`, "payment "},
		{"ledger-of-payment", `delete from ledger where order_id = @refunded and kind = 'capture'`, "payment "},
		{"ledger-of-refund", `delete from ledger where order_id = @refunded and kind = 'refund'`, "refund "},
		{"ledger-source", `update ledger set source = '` + unknown + `' where order_id = @held`, "transfer authorize of " + unknown},
		{"ledger-accounts", `update ledger set debit = 'sales' where order_id = @held`, "order @held"},
		{"log-elsewhere", `update event_log set epoch = '0badcafe'`, "the log"},
		{"log-ahead", `update events set xid = (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1000000)::text::xid8 where order_id = @free and version = 3`, "event @free/3"},
		{"reader-place", `update event_readers set seq = seq + 1000000`, "reader "},
		{"reader-place", `update events set seq = -seq where (xid, seq) in (select xid, seq from event_readers)`, "reader "},
		{"unnotified", `delete from notifications where order_id = @free and type = 'order.confirmed'`, "event @free/"},
		{"undelivered", `update users set updated_at = now() - interval '1 hour'; update webhooks set created_at = now() - interval '1 hour', updated_at = now() - interval '1 hour';
			delete from webhook_deliveries where order_id = @free and version = 2`, "event @free/2"},
		{"no-next-step", `update payments set state = 'authorized' where order_id = @cancelled`, "order @cancelled"},
		{"overdue", `update orders set due_at = now() - interval '3 minutes' where id = @held`, "order @held"},
		{"job-lost", `update orders set due_at = now() - interval '3 minutes' where id = @held`, "order @held"},
		{"job-stuck", `update river_job set state = 'running', finalized_at = null, attempted_at = now() - interval '5 minutes' where id = 1`, "job 1"},
		{"job-waiting", `update river_job set state = 'available', finalized_at = null, scheduled_at = now() - interval '5 minutes' where id = 1`, "job 1"},
		{"dead-letter", `update orders set stalled = null where id = @stalled`, "order @stalled"},
		{"unread", `insert into inbox_counts (user_id, unread) values ('` + unknown + `', 3)`, "inbox of " + unknown},
		{"notified", `insert into notifications (id, user_id, order_id, version, type, at) values ('` + unknown + `', @free, @free, 1, 'order.shipped', now())`, "notification " + unknown},
		{"reader-behind", `update event_readers set xid = '3', seq = 0; update events set at = at - interval '1 hour'`, "reader "},
		{"webhook-numbers", `delete from webhook_deliveries where number = 2`, "webhook "},
		{"webhook-once", `drop index webhook_deliveries_event; update webhook_deliveries d set (order_id, version, user_id, type) =
			(select order_id, version, user_id, type from webhook_deliveries o where o.webhook_id = d.webhook_id and o.number = 1) where number = 2`, "webhook "},
		{"webhook-event", `update webhook_deliveries set version = 999 where number = 3`, "delivery 3 of webhook "},
		{"webhook-rights", `update webhooks set owner_id = '` + unknown + `' where user_id is null`, "delivery "},
		{"webhook-rights", `update users set role = 'user', updated_at = now() - interval '1 hour' where role = 'admin'`, "delivery "},
		{"webhook-rights", `update webhooks set user_id = '` + unknown + `' where user_id is null`, "delivery "},
		{"ended-account", `update users set active = false where role = 'user'`, "webhook "},
		{"ended-account", `update users set role = 'user' where role = 'admin'`, "webhook "},
		{"ended-account", `insert into api_keys (id, user_id, name, scopes, hash, created_at) select '` + unknown + `', id, 'x', '{orders:read}', '', now() from users where role = 'user';
			update webhooks set enabled = false, disabled_reason = 'account', disabled_at = now();
			update users set deleted_at = now() where role = 'user'`, "API key " + unknown},
		{"ended-account", `insert into api_keys (id, user_id, name, scopes, hash, created_at) select '` + unknown + `', id, 'x', '{orders:read}', '', now() from users where role = 'user';
			update webhooks set enabled = false, disabled_reason = 'account', disabled_at = now();
			update users set active = false where role = 'user'`, "API key " + unknown},
		{"ended-account", `update users set deleted_at = now() where role = 'user'`, "webhook "},
		{"webhook-job", `update webhook_deliveries set status = 'pending', due_at = now() - interval '3 minutes' where number = 3`, "delivery 3 of webhook "},
		{"webhook-job", `insert into webhook_replays select gen_random_uuid(), id, 1, 9, '[]', '[]', 1, 'running', 0, 0, now() - interval '3 minutes', now(), null from webhooks`, "replay "},
		{"webhook-backlog", `insert into event_readers (name, xid, seq) select 'webhooks/' || w.id, e.xid, e.seq from webhooks w, (select xid, seq from events order by xid, seq limit 1) e;
			update events set at = at - interval '1 hour'`, "webhook "},
		{"rest-backlogs", `insert into event_readers (name, xid, seq) select 'webhooks/' || w.id, e.xid, e.seq from webhooks w, (select xid, seq from events order by xid, seq limit 1) e`, "webhooks/"},
		{"webhook-waiting", `update webhook_deliveries set status = 'waiting', created_at = now() - interval '3 minutes' where number = 3`, "delivery 3 of webhook "},
		{"audit-chain", `update audit_entries set count = 2 where action = 'user.registered'`, "audit entry "},
		{"audit-unsealed", `with e as (insert into audit_entries (id, action, outcome, actor_type, subject_type, subject_id, changes, request_id, network)
			values ('` + unknown + `', 'user.deleted', 'success', 'system', 'user', 'x', '[]', '', '') returning id) select id from e`, "audit entry " + unknown},
		{"audit-pending", `insert into audit_pending values ('` + unknown + `')`, "audit entry " + unknown},
		{"rest-webhooks", `update webhook_deliveries set status = 'pending', due_at = now() where number = 3`, "delivery 3 of webhook "},
		{"rest-orders", `update orders set due_at = now() + interval '1 minute' where id = @held`, "order @held"},
		{"rest-money", `update refunds set state = 'pending' where order_id = @refunded`, "order @refunded"},
		{"rest-jobs", `update river_job set state = 'available', finalized_at = null where id = 1`, "job 1"},
	}
	seen := map[string]bool{}
	for _, row := range rows {
		seen[row.law] = true
		r := s.broken(t, row.law, row.breaks)

		found := &finding{}
		for _, f := range r.findings {
			if f.Name == row.law {
				found = f
			}
		}
		if len(found.samples) == 0 || !strings.HasPrefix(found.samples[0].Subject, s.named(row.subject)) {
			t.Errorf("%s: found %+v, want %s", row.law, found.samples, s.named(row.subject))
		}
	}
	for _, l := range allLaws(audit.Keys{}) {
		if !seen[l.Name] {
			t.Errorf("%s is never broken", l.Name)
		}
	}
}

// broken returns the findings of verify after the database was changed by hand.
func (s *story) broken(t *testing.T, law, change string) *report {
	t.Helper()
	tx, err := s.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), `alter table events disable trigger user; alter table ledger disable trigger user; alter table audit_entries disable trigger user; `+s.quoted(change))
	if err != nil {
		t.Fatalf("%s: %v", law, err)
	}
	r, err := checkAll(t.Context(), tx, audit.Keys{}, true, 3, nil)
	if err != nil {
		t.Fatalf("%s: %v", law, err)
	}
	return r
}

func (s *story) named(text string) string {
	for name, id := range s.orders {
		text = strings.ReplaceAll(text, "@"+name, id)
	}
	return text
}

func (s *story) quoted(sql string) string {
	for name, id := range s.orders {
		sql = strings.ReplaceAll(sql, "@"+name, "'"+id+"'")
	}
	return sql
}

// F2: one run reports the violations in both formats, up to the requested number.
func TestReportOfVerify(t *testing.T) {
	t.Parallel()
	f := &finding{Law: laws.Law{Name: "a-law", Says: "all is well", Spec: "F2"}}
	for i := range 5 {
		f.add(2, fmt.Sprint("order ", i), "is not")
	}
	r := &report{Broken: 1, orders: 7, findings: []*finding{{Law: laws.Law{Name: "fine", Says: "so it is", Spec: "F3"}}, f}, took: 1500 * time.Microsecond}
	var text, doc bytes.Buffer

	if err := r.print(&text, false); err != nil {
		t.Fatal(err)
	}
	if err := r.print(&doc, true); err != nil {
		t.Fatal(err)
	}

	want := `ok      fine                     so it is (F3)
BROKEN  a-law                    all is well (F2): 5
          order 0: is not
          order 1: is not
          and 3 more
2 laws, 7 orders, 2ms: 1 broken
`
	if text.String() != want {
		t.Errorf("it says\n%s", text.String())
	}
	var got struct {
		OK   bool
		Laws []struct {
			Name     string
			Broken   int
			Subjects []sample
		}
	}
	if err := json.Unmarshal(doc.Bytes(), &got); err != nil || got.OK || len(got.Laws) != 2 || got.Laws[1].Broken != 5 || len(got.Laws[1].Subjects) != 2 {
		t.Errorf("%v: %s", err, doc.String())
	}
}

// F2: exit 0 when all laws hold, 1 when one is broken, 2 when the check failed.
func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	url := pgtest.URL(t)
	run := func(database string, args ...string) (exit int, out string) {
		cmd := exec.Command(path, append([]string{"verify"}, args...)...)
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"DATABASE_URL=" + database}
		raw, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(raw)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())

	if err := migrations.Up(t.Context(), url); err != nil { // a clone of the template has its epoch
		t.Fatal(err)
	}
	fine, said := run(url, "--settled")
	if _, err := conn.Exec(t.Context(), `insert into order_terms values (gen_random_uuid(), '{}')`); err != nil {
		t.Fatal(err)
	}
	broken, named := run(url)
	bad, why := run("not a url")
	unknown, flags := run(url, "--fast")

	if fine != 0 || !strings.Contains(said, "all hold") {
		t.Errorf("exit %d: %s", fine, said)
	}
	if broken != 1 || !strings.Contains(named, "BROKEN  orphans") {
		t.Errorf("exit %d: %s", broken, named)
	}
	if bad != 2 || !strings.Contains(why, "DATABASE_URL") || unknown != 2 {
		t.Errorf("exit %d: %s; exit %d: %s", bad, why, unknown, flags)
	}
}
