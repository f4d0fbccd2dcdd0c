package migrations

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
)

// A module's migrations have numbers of their own and are applied once; its position in the
// event log is set once, too, and does not move when the program is migrated again.
func TestModules(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	first := "-- +goose Up\ncreate table coupons (id uuid primary key);\n"
	coupons := Module{Name: "coupons", Files: fstest.MapFS{"1_coupons.sql": {Data: []byte(first)}}, Consumes: true}
	if err := UpWith(t.Context(), url, coupons, Module{Name: "audit", Consumes: true}); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "update event_readers set xid = '77', seq = 9 where name = 'coupons'"); err != nil {
		t.Fatal(err)
	}

	coupons.Files = fstest.MapFS{"1_coupons.sql": {Data: []byte(first)}, "2_limits.sql": {Data: []byte("-- +goose Up\nalter table coupons add column uses bigint;\n")}}
	if err := UpWith(t.Context(), url, coupons); err != nil {
		t.Fatal(err)
	}

	var applied, readers, seq int64
	err := conn.QueryRow(t.Context(), `select (select max(version_id) from goose_module_coupons), (select count(*) from event_readers where name in ('coupons', 'audit')),
		(select seq from event_readers where name = 'coupons') from (select uses from coupons) c right join (values (1)) one on true`).Scan(&applied, &readers, &seq)
	if err != nil || applied != 2 || readers != 2 || seq != 9 {
		t.Errorf("applied %d, %d readers, at %d, %v", applied, readers, seq, err)
	}
	if pending, err := Pending(t.Context(), url); err != nil || pending {
		t.Errorf("the product's own are pending: %v, %v", pending, err)
	}
}

// What fails names the module.
func TestModuleThatFails(t *testing.T) {
	t.Parallel()
	bad := Module{Name: "coupons", Files: fstest.MapFS{"1_coupons.sql": {Data: []byte("-- +goose Up\ncreate table orders ();\n")}}}

	err := UpWith(t.Context(), pgtest.URL(t), bad)

	if err == nil || !strings.Contains(err.Error(), "migrate module coupons") {
		t.Errorf("it says %v", err)
	}
}

// Tables finds what the product's migrations create.
func TestTables(t *testing.T) {
	t.Parallel()

	tables, err := Tables(Files())

	if err != nil || tables["orders"] != "6_orders_orders.sql" || tables["event_readers"] != "10_events_readers.sql" || len(tables) < 20 {
		t.Errorf("%v, %v", tables, err)
	}
}
