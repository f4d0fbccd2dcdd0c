package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// EpochQuery is a query for the epoch of a log whose xids come from the current database. A dump that is
// restored into another cluster, or under another name, keeps its xids, but they do not compare
// with those of the new transactions.
const EpochQuery = `
	select substr(md5(system_identifier::text || '/' || (select oid from pg_database where datname = current_database())), 1, 8)
	from pg_control_system()`

// Rebase rebases the log on the database that contains it. Migrations call it. In a new database it
// records the epoch. In a restored one it moves all events to the lowest xid of this cluster, in
// their old order, and records the new epoch, so that clients with old cursors are reset instead of
// missing events without notice (SPEC E3). Consumers keep their position after the same event.
func Rebase(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var now, noted string
		if err := tx.QueryRow(ctx, EpochQuery).Scan(&now); err != nil {
			return fmt.Errorf("identify the cluster: %w", err)
		}
		err := tx.QueryRow(ctx, `select epoch from event_log for update`).Scan(&noted)
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = tx.Exec(ctx, `insert into event_log (epoch) values ($1)`, now)
			return err
		}
		if err != nil || noted == now {
			return err
		}

		b := &pgx.Batch{}
		b.Queue(`set local statement_timeout = 0`)
		b.Queue(`set local orderflow.adopt_log = 'on'`)
		b.Queue(renumber)
		b.Queue(`update event_readers r set xid = e.xid, seq = e.seq from events e where e.order_id = r.order_id and e.version = r.version`)
		b.Queue(`update event_log set epoch = $1`, now)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("adopt a restored log: %w", err)
		}
		return nil
	})
}

// Renumber all events in their old order and assign them the oldest xid. The numbers begin above
// all numbers in use, because rows of an earlier rebase keep theirs while this statement runs.
//
// Events that were written into the restored log before the rebase come last, because no consumer
// has read them; their xids belong to the new cluster and are below those of the restored rows. The
// xid of a first version is the one of the transaction that inserted it, at most the one in xmin (a
// savepoint has a later one). A transaction that restores a dump inserts first versions with the
// xids of many other transactions. All rows that were inserted after the last transaction of this
// kind were written here. The rule is exact for a dump that is restored with COPY, which is one
// transaction. It is not exact for a dump that is restored with an INSERT for each row.
const renumber = `
	with rows as (
		select e.order_id, e.version, e.xid, e.seq, n.now - (n.now % 4294967296 - e.xmin::text::bigint + 4294967296) % 4294967296 as inserter
		from events e cross join (select pg_current_xact_id()::text::bigint as now) n
	), loads as (
		select inserter from rows where version = 1 group by inserter
		having max(xid::text::bigint) > inserter or min(xid::text::bigint) <> max(xid::text::bigint)
	), loaded as (
		select coalesce(max(inserter), 0) as until from loads
	)
	update events e set xid = '3', seq = n.n
	from (select order_id, version, max(seq) over () + row_number() over (order by inserter > until, xid, seq) as n from rows cross join loaded) n
	where e.order_id = n.order_id and e.version = n.version`

// ErrForeignLog means that the log was written in another cluster or database and has not been
// adopted since. Its xids do not compare with those of new transactions: consumers would skip new
// events, or receive them in the wrong order.
var ErrForeignLog = errors.New("the event log comes from another cluster or database; run orderflow migrate")

// CheckOrigin returns ErrForeignLog if the log must be adopted first. It returns nil for a database
// without a log. It takes one round trip.
func CheckOrigin(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) error {
	var fits bool
	err := q.QueryRow(ctx, `select l.epoch = (`+EpochQuery+`) from event_log l`).Scan(&fits)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || postgres.Code(err) == "42P01": // undefined table
		return nil
	case err != nil:
		return fmt.Errorf("check where the event log comes from: %w", err)
	case !fits:
		return ErrForeignLog
	}
	return nil
}
