package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Where the xids of this database come from. A dump restored into another
// cluster, or under another name, keeps the numbers but not their clock.
const here = `
	select substr(md5(system_identifier::text || '/' || (select oid from pg_database where datname = current_database())), 1, 8)
	from pg_control_system()`

// Adopt makes the log fit the database it is in; migrations call it. On a fresh
// database it notes the epoch. On a restored one it moves all events to the
// beginning of this cluster's time, in their old order, and notes the new epoch,
// so that old cursors get a reset instead of silence (SPEC E3). Readers keep their
// place: they have no client to tell.
func Adopt(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var now, noted string
		if err := tx.QueryRow(ctx, here).Scan(&now); err != nil {
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
		// First the readers, as the order of old is still there: behind as many events as before.
		b.Queue(`update event_readers r set xid = '3',
			seq = (select coalesce(max(e.seq), 0) + count(*) filter (where (e.xid, e.seq) <= (r.xid, r.seq)) from events e)`)
		// Number afresh along the old order, and let every row be of the oldest
		// transaction there is. The numbers begin above all that are taken: rows that
		// an earlier adoption has moved there still hold theirs while this runs.
		b.Queue(`update events e set xid = '3', seq = n.n
			from (select order_id, version, max(seq) over () + row_number() over (order by xid, seq) as n from events) n
			where e.order_id = n.order_id and e.version = n.version`)
		b.Queue(`update event_log set epoch = $1`, now)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("adopt a restored log: %w", err)
		}
		return nil
	})
}
