package orders_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// eventually waits for what no signal of this process tells of.
func (b *bundle) eventually(what string, is func() bool) {
	b.t.Helper()
	testwait.Until(b.t, what, is)
}

// C12: more than fits into any buffer, while others place and cancel: the file is
// the one snapshot, newest first, nothing twice and nothing changed.
func TestExportIsOneSnapshot_C12(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"ndjson", "csv"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			f := open(t, b)
			b.products(map[string]int64{"A": -1})
			ids, _ := b.flood(25_000, time.Hour)
			res := f.send("admin", "GET /v1/orders/export?format="+format, "")

			stop, changed := make(chan struct{}), make(chan struct{}, 1)
			var others sync.WaitGroup
			defer others.Wait()
			defer close(stop)
			for i := range 2 {
				others.Go(func() {
					for n := i; n < len(ids); n += 2 {
						select {
						case <-stop:
							return
						default:
						}
						if _, err := b.Place(b.ctx, b.bob, basket("A", 1), idempotency.Key[orders.Order]{}); err != nil {
							t.Error(err)
						}
						if _, err := b.Cancel(b.ctx, b.admin, ids[n], nil, nil, idempotency.Key[orders.Order]{}); err != nil {
							t.Error(err)
						}
						select {
						case changed <- struct{}{}:
						default:
						}
					}
				})
			}
			<-changed
			var got []uuid.UUID
			rows := 0
			lines := bufio.NewScanner(res.Body)
			for lines.Scan() {
				if rows++; rows%1000 == 0 {
					<-changed // the others go on while this reads
				}
				if format == "csv" {
					if cells := strings.Split(strings.ReplaceAll(lines.Text(), `"`, ""), ","); rows > 1 {
						got = append(got, uuid.MustParse(cells[0]))
						if cells[5] != "PENDING" || cells[12] != "1 x A" {
							t.Fatalf("row %d is %s", rows, lines.Text())
						}
					}
					continue
				}
				var o orders.Order
				if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
					t.Fatal(err)
				}
				if got = append(got, o.ID); o.Status != lifecycle.Pending || len(o.Items) != 1 {
					t.Fatalf("row %d is %s", rows, lines.Text())
				}
			}

			if err := lines.Err(); err != nil {
				t.Fatal(err)
			}
			if slices.Reverse(got); !slices.Equal(got, ids) {
				t.Errorf("%d orders of %d, or not in their order", len(got), len(ids))
			}
		})
	}
}

// C12: the memory of an export is that of a piece; its transaction has no id, which
// would hold up every reader of the log, and its connection comes back.
func TestExportInPieces_C12(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": -1})
	b.flood(5_000, time.Hour)

	e, err := b.Export(b.ctx, b.admin, orders.Filter{}, orders.NDJSON)
	if err != nil {
		t.Fatal(err)
	}
	rows, largest := 0, 0
	for {
		piece, err := e.Next(b.ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n := bytes.Count(piece, []byte("\n"))
		rows, largest = rows+n, max(largest, n)
		if rows == 1000 {
			held := b.count(`select count(*) from pg_stat_activity where datname = current_database() and backend_xid is not null`)
			if held != 0 {
				t.Errorf("%d transactions have an id", held)
			}
		}
	}

	if rows != 5_000 || largest > 100 {
		t.Errorf("%d rows, %d at once", rows, largest)
	}
	e.Close()
	if n := b.pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections are still held", n)
	}
}

// C12: a client that hangs up takes its connection to the database with it.
func TestExportToDisconnectedClient_C12(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := open(t, b)
	b.flood(25_000, time.Hour)
	res := f.send("alice", "GET /v1/orders/export?format=csv", "")
	if _, err := io.CopyN(io.Discard, res.Body, 10_000); err != nil {
		t.Fatal(err)
	}
	if n := b.pool.Stat().AcquiredConns(); n != 1 {
		t.Fatalf("%d connections are held by the export", n)
	}

	_ = res.Body.Close()

	b.eventually("the export gives its connection back", func() bool { return b.pool.Stat().AcquiredConns() == 0 })
	if status, body := f.ask("bob", "GET /v1/orders/export?format=csv", ""); status != http.StatusOK || strings.Count(body, "\n") != 1 {
		t.Errorf("the next one: %d %q", status, body)
	}
}

// C12: what breaks off does not look complete.
func TestBrokenExport_C12(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := open(t, b)
	b.flood(25_000, time.Hour)
	res := f.send("admin", "GET /v1/orders/export?format=ndjson", "")
	if _, err := io.CopyN(io.Discard, res.Body, 10_000); err != nil {
		t.Fatal(err)
	}

	b.eventually("the export's backend waits for the client, and is ended", func() bool {
		return b.count(`
			select count(pg_terminate_backend(pid)) from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid() and state = 'idle in transaction'`) > 0
	})

	if _, err := io.Copy(io.Discard, res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the client was told %v", err)
	}
	b.eventually("the connection is given up", func() bool { return b.pool.Stat().AcquiredConns() == 0 })
}

// C12, F10: exports cannot take all connections of a node, an account has one on all
// nodes together, and places are reserved for administrators.
func TestExportsAtOnce_C12(t *testing.T) {
	t.Parallel()
	b := setup(t) // with 8 connections: a place for each kind of account
	other := node(t, b.url)
	other.alice, other.bob, other.admin = b.alice, b.bob, b.admin
	here, there := open(t, b), open(t, other)
	b.flood(25_000, time.Hour) // of alice
	slow := here.send("alice", "GET /v1/orders/export?format=csv", "")

	rows := []struct {
		at     *front
		who    string
		status int
	}{
		{here, "alice", http.StatusTooManyRequests},
		{there, "alice", http.StatusTooManyRequests},
		{here, "bob", http.StatusServiceUnavailable},
		{there, "bob", http.StatusOK},
		{here, "admin", http.StatusOK},
	}
	for _, row := range rows {
		res := row.at.send(row.who, "GET /v1/orders/export?format=csv", "")
		raw, _ := io.ReadAll(res.Body)
		if res.StatusCode != row.status {
			t.Fatalf("%s, here %v: %d %s", row.who, row.at == here, res.StatusCode, raw)
		}
		if row.status != http.StatusOK && (res.Header.Get("Retry-After") == "" || !strings.Contains(string(raw), "too-many-exports")) {
			t.Errorf("%s: %v %s", row.who, res.Header, raw)
		}
	}

	_ = slow.Body.Close()
	b.eventually("its end gives the place back", func() bool {
		status, _ := there.ask("alice", "GET /v1/orders/export?format=csv", "")
		return status == http.StatusOK
	})
}

// A5, C12: an export ends when its caller's right does, and does not look complete.
func TestExportOutlivesNoRight_C12(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(now *identity.Caller, err *error){
		"session over": func(_ *identity.Caller, err *error) {
			*err = fault.New(fault.KindUnauthenticated, "invalid-token", "Over.")
		},
		"demoted": func(now *identity.Caller, _ *error) { now.Role = identity.User },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b *bundle
			var over atomic.Bool
			b = setup(t, func(d *orders.Deps) {
				d.CurrentCaller = func(context.Context, uuid.UUID) (now identity.Caller, err error) {
					now = b.admin
					if over.Load() {
						change(&now, &err)
					}
					return now, err
				}
			})
			f := open(t, b)
			b.flood(25_000, time.Hour)
			res := f.send("admin", "GET /v1/orders/export?format=ndjson", "")

			over.Store(true)

			b.eventually("the export gives its connection back", func() bool { return b.pool.Stat().AcquiredConns() == 0 })
			if n, err := io.Copy(io.Discard, res.Body); err == nil {
				t.Errorf("it looks complete with %d bytes", n)
			}
			status, body := f.ask("admin", "GET /v1/orders/export?format=ndjson", "")
			if status == http.StatusOK {
				t.Errorf("another one: %d %.200s", status, body)
			}
		})
	}
}

// C12, C5: an export is the list with the same filters, for the same caller.
func TestExportFilters_C12(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1, "KETTLE-2": -1})
	noted := basket("KETTLE-2", 1)
	noted.Note = new("Bitte zügig")
	b.place(b.alice, referring(noted, "PO-17"))
	second := b.processed(b.alice, referring(basket("A", 1), "PO-18"))
	b.processed(b.alice, basket("A", 1)) // fails: there was one
	b.place(b.bob, referring(noted, "PO-17"))
	deleted := b.place(b.bob, basket("KETTLE-2", 1))
	b.exec(`update orders set deleted_at = now() where id = $1`, deleted.ID)
	for i, filter := range []orders.Filter{
		{},
		{UserID: b.alice.UserID},
		{Statuses: []lifecycle.Status{lifecycle.Failed}},
		{Statuses: []lifecycle.Status{lifecycle.Failed, lifecycle.Pending, lifecycle.Processing}},
		{Reference: "PO-17"},
		{From: second.CreatedAt.Std()},
		{To: second.CreatedAt.Std(), Statuses: []lifecycle.Status{lifecycle.Pending, lifecycle.Processing}},
		{Words: "kettle zügig"},
		{Words: "name", Statuses: []lifecycle.Status{lifecycle.Pending, lifecycle.Failed}, UserID: b.alice.UserID, Reference: "PO-17"},
		{Words: "platypus"},
	} {
		caller := b.admin
		if filter.UserID == b.alice.UserID && i%2 == 1 {
			caller = b.alice
		}
		want := b.ids(caller, filter)

		if got := b.exported(caller.IsAdmin(), filter); !slices.Equal(got, want) {
			t.Errorf("%+v: %v, want %v", filter, got, want)
		}
	}
	if _, err := b.Export(b.ctx, b.alice, orders.Filter{UserID: b.bob.UserID}, orders.CSV); !fault.Is(err, "forbidden") {
		t.Errorf("the orders of another user: %v", err)
	}
}

func (b *bundle) exported(admin bool, f orders.Filter) (ids []uuid.UUID) {
	b.t.Helper()
	caller := b.alice
	if admin {
		caller = b.admin
	}
	e, err := b.Export(b.ctx, caller, f, orders.CSV)
	if err != nil {
		b.t.Fatal(err)
	}
	defer e.Close()
	for {
		piece, err := e.Next(b.ctx)
		if errors.Is(err, io.EOF) {
			return ids
		}
		if err != nil {
			b.t.Fatal(err)
		}
		for line := range strings.Lines(string(piece)) {
			if id, err := uuid.Parse(strings.Split(line, ",")[0]); err == nil {
				ids = append(ids, id)
			}
		}
	}
}

// G2: an export of many begins at once, with ranges of indexes that are merged as they
// are read; one of few asks the index that finds them.
func TestExportPlans_G2(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.flood(30_000, time.Hour)
	b.exec(`update orders set status = (array['PENDING', 'CONFIRMED', 'PROCESSING', 'SHIPPED', 'COMPLETED'])[1 + floor(random() * 5)::int], reference = id::text`)
	b.exec(`insert into order_terms (order_id, terms) select id, array['common', right(id::text, 4)] from orders`)
	b.exec(`analyze`)
	two := []lifecycle.Status{lifecycle.Pending, lifecycle.Failed}
	for _, row := range []struct {
		filter      orders.Filter
		with, never string
	}{
		{orders.Filter{}, "Index Scan Backward using orders_pkey", "Sort"},
		{orders.Filter{Statuses: two}, "Merge Append", "->  Sort"},
		{orders.Filter{Statuses: two, UserID: b.alice.UserID}, "Merge Append", "->  Sort"},
		{orders.Filter{UserID: b.bob.UserID}, "using orders_user", "Sort"},
		{orders.Filter{Words: "0a0b"}, "order_terms_words", "Seq Scan"},
		{orders.Filter{Words: "0a0b", Statuses: two}, "order_terms_words", "Seq Scan"},
		{orders.Filter{Reference: "none", Statuses: two}, "orders_reference", "Seq Scan"},
	} {
		plan := b.planOf(row.filter)

		if !strings.Contains(plan, row.with) || strings.Contains(plan, row.never) {
			t.Errorf("%+v is exported like this:\n%s", row.filter, plan)
		}
	}
}

func (b *bundle) planOf(f orders.Filter) string {
	b.t.Helper()
	var lines []string
	err := postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		advice := &pgx.Batch{}
		orders.Advise(advice, f)
		if err := tx.SendBatch(b.ctx, advice).Close(); err != nil {
			return err
		}
		query, args := orders.Exported(f)
		rows, err := tx.Query(b.ctx, "explain declare export no scroll cursor for "+query, args...)
		if err != nil {
			return err
		}
		lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// C12: a spreadsheet is given text, never a formula.
func TestCSVCells_C12(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := open(t, b)
	b.products(map[string]int64{"A": -1, "-B": -1})
	notes := [][2]string{
		{"=HYPERLINK(\"http://evil\")", "'=HYPERLINK(\"http://evil\")"},
		{"\t=1", " '=1"},
		{"\r=1", "\r'=1"},
		{"a, \"b\"\r\nand c\n", "a, \"b\"\r\nand c\n"},
		{"é€😀", "é€😀"},
		{"'quoted", "'quoted"},
		{"", ""},
	}
	for i, row := range notes {
		note := row[0]
		w := basket("-B", 2, "A", 1)
		w.Note, w.Reference = &note, new(fmt.Sprintf("=R%02d", i))
		w.Metadata = orders.Metadata(`{"a":"=1","b":[1,2]}`)
		b.place(b.alice, w)
	}

	res := f.send("alice", "GET /v1/orders/export?format=csv", "")
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}

	if res.Header.Get("Content-Type") != "text/csv; charset=utf-8" || res.Header.Get("Content-Disposition") != `attachment; filename="orders.csv"` {
		t.Errorf("%v", res.Header)
	}
	table := readCSV(t, raw)
	want := "id,userId,createdAt,updatedAt,version,status,paymentStatus,reference,currency,total,lines,units,items,note,metadata,onShortage,reason,heldFrom,failureCode,failureDetail,paymentMethod,captured,refunded,refunding,tracking,stalled"
	if got := strings.Join(table[0], ","); !strings.HasPrefix(got+",", want+",") {
		t.Errorf("the header is %s; it begins with %s for ever", got, want)
	}
	rows := table[1:]
	slices.Reverse(rows)
	for i, row := range notes {
		note, guarded := row[0], row[1]
		got := []string{rows[i][7], rows[i][9], rows[i][10], rows[i][11], rows[i][12], rows[i][13], rows[i][14]}
		wanted := []string{fmt.Sprintf("'=R%02d", i), "300", "2", "3", "2 x -B; 1 x A", guarded, `{"a":"=1","b":[1,2]}`}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("note %q: %s", note, diff)
		}
	}
}

// readCSV keeps the carriage returns, which the standard library's reader would
// drop: within a cell they belong to the text. A row must end with CRLF.
func readCSV(t *testing.T, raw []byte) (table [][]string) {
	t.Helper()
	quoted, before := false, ' '
	kept := strings.Map(func(r rune) rune {
		if r == '"' {
			quoted = !quoted
		}
		if r == '\n' && !quoted && before != '\r' {
			t.Errorf("a row does not end with CRLF")
		}
		if before = r; r == '\r' && quoted {
			return '\u2028'
		}
		return r
	}, string(raw))
	table, err := csv.NewReader(strings.NewReader(kept)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table {
		for i := range row {
			row[i] = strings.ReplaceAll(row[i], "\u2028", "\r")
		}
	}
	return table
}

// C12: a line of NDJSON is the order as GET shows it, but for what its reader may do.
func TestNDJSONIsWhatGetShows_C12(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := open(t, b)
	b.products(map[string]int64{"A": 1})
	for range 2 { // one is processed, one fails
		w := basket("A", 1)
		w.Note, w.Metadata = new("n\n"), orders.Metadata(`{"k":[1]}`)
		b.processed(b.alice, w)
	}

	_, file := f.ask("alice", "GET /v1/orders/export?format=ndjson", "")

	for line := range strings.Lines(file) {
		var id struct{ ID string }
		if err := json.Unmarshal([]byte(line), &id); err != nil {
			t.Fatal(err)
		}
		_, got := f.ask("alice", "GET /v1/orders/"+id.ID, "")
		var exported, shown map[string]any
		if err := errors.Join(json.Unmarshal([]byte(line), &exported), json.Unmarshal([]byte(got), &shown)); err != nil {
			t.Fatal(err)
		}
		delete(shown, "allowedActions")
		if diff := cmp.Diff(shown, exported); diff != "" {
			t.Error(diff)
		}
	}
	if strings.Count(file, "\n") != 2 {
		t.Error(file)
	}
}

// C5, C12: the query is as strict as that of the list.
func TestExportParameters_C12(t *testing.T) {
	t.Parallel()
	f := open(t, setup(t))
	rows := []struct {
		who, query string
		status     int
		want       string
	}{
		{"alice", "", 400, `"pointer":"/query/format","code":"required"`},
		{"alice", "?format=xls", 400, `"pointer":"/query/format","code":"enum"`},
		{"alice", "?format=csv&status=NEW", 400, `"pointer":"/query/status"`},
		{"alice", "?format=csv&limit=1", 400, `"unknown-parameter"`},
		{"alice", "?format=csv&createdFrom=yesterday", 400, `"/query/createdFrom"`},
		{"alice", "?format=csv&userId=" + f.bob.UserID.String(), 403, `"forbidden"`},
		{"", "?format=csv", 401, `"unauthenticated"`},
		{"alice", "?format=ndjson", 200, ""},
		{"admin", "?format=csv&status=PENDING&status=FAILED&userId=" + f.bob.UserID.String(), 200, "id,userId,"},
	}
	for _, row := range rows {
		status, body := f.ask(row.who, "GET /v1/orders/export"+row.query, "")

		if status != row.status || !strings.Contains(body, row.want) {
			t.Errorf("%s: %d %s", row.query, status, body)
		}
	}
	if res := f.send("alice", "HEAD /v1/orders/export?format=csv", ""); res.StatusCode != 200 || res.Header.Get("Content-Disposition") == "" {
		t.Errorf("HEAD: %d %v", res.StatusCode, res.Header)
	}
	f.eventually("the HEAD gives its connection back", func() bool { return f.pool.Stat().AcquiredConns() == 0 })
}
