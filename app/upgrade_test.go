package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/audit"
)

// answersBefore is what the API of an earlier version answered on the database that
// was dumped beside it.
type answersBefore struct {
	Orders      map[string]string // ids by name; the name begins with the owner
	Passwords   map[string]string
	APIKey      string
	Idempotency struct{ Caller, Key, Order string }
	Answers     struct {
		Orders, Ledger, Events                   map[string]any
		Products, Stats, Notifications, Webhooks map[string]any
	}
}

// Members that later versions answer differently on purpose, by the last name of
// their path, each with its reason. New members need no entry.
var changedOnPurpose = []string{
	"cursor", // the migration adopts the restored log, which begins a new epoch
}

// G1, E1: an upgrade keeps data. testdata/upgrade holds databases that earlier
// versions filled, named by commit; each is restored, migrated and read again.
func TestUpgradeKeepsData(t *testing.T) {
	t.Parallel()
	dumps, err := filepath.Glob("testdata/upgrade/*.sql.gz")
	if err != nil || len(dumps) == 0 {
		t.Fatal("there is no dump", err)
	}
	for _, dump := range dumps {
		t.Run(strings.TrimSuffix(filepath.Base(dump), ".sql.gz"), func(t *testing.T) {
			t.Parallel()
			upgradeFrom(t, dump)
		})
	}
}

func upgradeFrom(t *testing.T, dump string) {
	var before answersBefore
	raw, err := os.ReadFile(strings.TrimSuffix(dump, ".sql.gz") + ".json")
	if err == nil {
		err = json.Unmarshal(raw, &before)
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings(t)
	cfg.Roles = []string{"api"} // until everything has been compared
	conn := restore(t, cfg.DatabaseURL.Reveal(), dump)
	if err := migrations.Up(t.Context(), cfg.DatabaseURL.Reveal()); err != nil {
		t.Fatal(err)
	}
	holds := func(when string) {
		t.Helper()
		r, err := checkAll(t.Context(), conn, audit.Keys{}, false, 5, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Broken > 0 {
			var text strings.Builder
			_ = r.print(&text, false)
			t.Errorf("%s:\n%s", when, text.String())
		}
	}
	holds("after the migration")

	s := serveTest(t, cfg)
	people := map[string]*client{}
	for name, password := range before.Passwords {
		people[name] = s.logIn(name+"@example.com", password)
	}
	before.compare(t, people)
	before.replay(t, people)
	before.goOn(t, cfg, conn, people)
	holds("after going on")
}

// compare reads everything that was read before the upgrade.
func (b *answersBefore) compare(t *testing.T, people map[string]*client) {
	admin, ann := people["admin"], people["ann"]
	read := func(c *client, path string, want any) {
		t.Helper()
		got := c.want(200, "GET", path, "")
		for _, difference := range differences("", want, reread(t, got.raw)) {
			t.Errorf("GET %s: %s", path, difference)
		}
	}
	for name, id := range b.Orders {
		order, there := b.Answers.Orders[name]
		if !there { // it has been deleted
			admin.want(404, "GET", "/v1/orders/"+id, "")
			continue
		}
		read(admin, "/v1/orders/"+id, order)
		read(admin, "/v1/orders/"+id+"/events", b.Answers.Events[name])
		read(admin, "/v1/orders/"+id+"/ledger", b.Answers.Ledger[name])
	}
	read(admin, "/v1/products?limit=100", b.Answers.Products)
	read(admin, "/v1/orders/stats", map[string]any{"counts": b.Answers.Stats["counts"], "oldest": b.Answers.Stats["oldest"]})
	read(ann, "/v1/notifications?limit=100", b.Answers.Notifications)
	read(ann, "/v1/webhooks", b.Answers.Webhooks)
}

// replay uses what clients keep: a key for machines, and one for a repeated request.
func (b *answersBefore) replay(t *testing.T, people map[string]*client) {
	machine := &client{server: people["ann"].server, token: b.APIKey}
	machine.want(200, "GET", "/v1/orders?limit=1", "")

	var name string
	for n, id := range b.Orders {
		if id == b.Idempotency.Order {
			name = n
		}
	}
	placed := b.Answers.Orders[name].(map[string]any)
	var items []any
	for _, line := range placed["items"].([]any) {
		items = append(items, map[string]any{"sku": line.(map[string]any)["sku"], "quantity": line.(map[string]any)["quantity"]})
	}
	body, err := json.Marshal(map[string]any{"items": items, "reference": placed["reference"], "note": placed["note"], "metadata": placed["metadata"]})
	if err != nil {
		t.Fatal(err)
	}
	again := people[b.Idempotency.Caller].want(201, "POST", "/v1/orders", string(body), "Idempotency-Key: "+b.Idempotency.Key)
	if again.text("id") != b.Idempotency.Order || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the replay answers %s", again)
	}
}

// goOn starts a worker, which takes up what was under way, processes what is new and
// does what an order of before still needs.
func (b *answersBefore) goOn(t *testing.T, cfg config.Config, conn *pgx.Conn, people map[string]*client) {
	admin, ann := people["admin"], people["ann"]
	attempts := func() (n int) {
		if err := conn.QueryRow(t.Context(), `
			select coalesce(max(attempt), 0) from river_job where args->>'orderId' = $1`, b.Orders["bob-dead"]).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	made := attempts()
	cfg.Roles = []string{"worker"}
	serveTest(t, cfg)

	fresh := ann.order("CUP", 1)
	ann.becomes(fresh, "PROCESSING")
	shipped := b.Orders["ann-processing"]
	admin.want(200, "PATCH", "/v1/orders/"+shipped+"/status", `{"status":"SHIPPED"}`)
	testwait.Until(t, "the money of an order of before to be captured", func() bool {
		return admin.want(200, "GET", "/v1/orders/"+shipped, "").text("paymentStatus") == "CAPTURED"
	})
	testwait.Until(t, "a job of before to be attempted again", func() bool { return attempts() > made })
}

// differences names the members of want that got lacks or has otherwise.
func differences(path string, want, got any) (list []string) {
	if slices.Contains(changedOnPurpose, path[strings.LastIndex(path, "/")+1:]) {
		return nil
	}
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			for name, member := range w {
				list = append(list, differences(path+"/"+name, member, g[name])...)
			}
			return list
		}
	case []any:
		if g, ok := got.([]any); ok && len(g) == len(w) {
			for i := range w {
				list = append(list, differences(fmt.Sprintf("%s/%d", path, i), w[i], g[i])...)
			}
			return list
		}
	default:
		if reflect.DeepEqual(want, got) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s was %v and is %v", path, want, got)}
}

func reread(t *testing.T, raw []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// restore replaces a database by a dump in plain SQL, without psql. What only lasts
// for a while begins now: the dump stays as it is, and the calendar does not.
func restore(t *testing.T, url, dump string) *pgx.Conn {
	t.Helper()
	file, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(reader); err != nil {
		t.Fatal(err)
	}
	loading, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	run := func(sql string) {
		t.Helper()
		if _, err := loading.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	run(`drop schema public cascade; create schema public`)
	var statements strings.Builder
	for rest := text.String(); rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		switch {
		case strings.HasPrefix(line, `\`): // for psql
		case strings.HasPrefix(line, "COPY ") && strings.HasSuffix(line, " FROM stdin;"):
			run(statements.String())
			statements.Reset()
			var rows string
			rows, rest, _ = strings.Cut("\n"+rest, "\n\\.\n")
			if _, err := loading.PgConn().CopyFrom(t.Context(), strings.NewReader(strings.TrimPrefix(rows+"\n", "\n")), line); err != nil {
				t.Fatal(line, err)
			}
		default:
			statements.WriteString(line + "\n")
		}
	}
	run(statements.String())
	loading.Close(t.Context()) // the dump sets search_path and more

	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	for _, sql := range []string{
		`update idempotency_keys set created_at = now()`,
		`update sessions set expires_at = now() + interval '1 day' where ended_at is null`,
		`update refresh_tokens set expires_at = now() + interval '1 day'`,
		`update river_job set scheduled_at = now() where state = 'retryable'`,
		`update orders set due_at = now() where due_at is not null`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(sql, err)
		}
	}
	return conn
}
