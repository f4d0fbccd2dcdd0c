package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Here is a query of where the xids of the present database come from: the epoch of a log
// that fits it. A dump restored into another cluster, or under another name, keeps
// the numbers but not their clock.
const Here = `
	select substr(md5(system_identifier::text || '/' || (select oid from pg_database where datname = current_database())), 1, 8)
	from pg_control_system()`

// Adopt makes the log fit the database it is in; migrations call it. On a fresh
// database it notes the epoch. On a restored one it moves all events to the
// beginning of this cluster's time, in their old order, and notes the new epoch,
// so that old cursors get a reset instead of silence (SPEC E3). Readers have no client
// to tell: they stay behind the event that they stood behind.
func Adopt(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var now, noted string
		if err := tx.QueryRow(ctx, Here).Scan(&now); err != nil {
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

// Number afresh along the old order, and let every row be of the oldest transaction
// there is. The numbers begin above all that are taken: rows that an earlier adoption has
// moved there still hold theirs while this runs.
//
// What was written into the restored log before it was adopted comes last, although
// its transaction ids are of the younger cluster, below those of the rows that were
// loaded: no reader has seen it. First versions have the id of the transaction that
// inserted them, which is at most the one that xmin tells (a savepoint has a later one).
// A transaction that loads a dump inserts first versions with the ids of many others. What
// was inserted after the last one of that kind was written here. This is exact for a dump
// that was loaded by COPY, which is one transaction, and not for one that was loaded by
// an INSERT for each row.
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

// ErrElsewhere says that the log in this database was written in another cluster, or
// under another name, and was not adopted since. Its transaction ids are of another
// clock: readers would pass over what is written now, or see it in the wrong order.
var ErrElsewhere = errors.New("the event log comes from another cluster or database; run orderflow migrate")

// CheckOrigin returns ErrElsewhere when the log has to be adopted first. A database
// without a log has nothing to be adopted. It takes one round trip.
func CheckOrigin(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) error {
	var fits bool
	err := q.QueryRow(ctx, `select l.epoch = (`+Here+`) from event_log l`).Scan(&fits)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || postgres.Code(err) == "42P01": // undefined table
		return nil
	case err != nil:
		return fmt.Errorf("check where the event log comes from: %w", err)
	case !fits:
		return ErrElsewhere
	}
	return nil
}
