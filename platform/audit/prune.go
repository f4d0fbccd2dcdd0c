package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// MinRetention is the shortest time for which entries are kept. The trigger of the tables, which
// rejects the deletion of anything newer, has it too.
const MinRetention = 90 * 24 * time.Hour

const pruneAtOnce = 100 // blocks of a transaction

var pruned = Action{
	Name: "audit.pruned", Subject: "audit", Fields: []string{"throughBlock", "hash"},
	Doc: "Blocks were deleted after `AUDIT_RETENTION`; names the last one, from whose hash the rest of the chain follows.",
}

// Actions returns the actions of this package.
func Actions() []Action { return []Action{pruned} }

// Prune deletes whole blocks from the beginning of the chain that are older than the retention, with
// their entries. The last block stays. Each deletion is itself an entry, in the same transaction, so
// that the beginning of the rest is covered by its end.
func (s *Sealer) Prune(ctx context.Context) error {
	if s.retention == 0 {
		return nil
	}
	for {
		n := 0
		err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
			n, err = s.prune(ctx, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("delete old audit entries: %w", err)
		}
		if n < pruneAtOnce {
			return nil
		}
	}
}

func (s *Sealer) prune(ctx context.Context, tx pgx.Tx) (n int, err error) {
	var last int64
	err = tx.QueryRow(ctx, `select number from audit_chain for update skip locked`).Scan(&last)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	rows, err := tx.Query(ctx, `
		select number, entries, hash from audit_blocks where at < now() - $1::interval and number < $2 order by number limit $3`,
		max(s.retention, MinRetention), last, pruneAtOnce)
	if err != nil {
		return 0, err
	}
	var through block
	var entries []uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&through.number, &through.entries, &through.hash}, func() error {
		n, entries = n+1, append(entries, through.entries...)
		return nil
	})
	if err != nil || n == 0 {
		return 0, err
	}
	batch := &pgx.Batch{}
	batch.Queue(`select set_config('orderflow.prune_audit', 'on', true)`)
	batch.Queue(`delete from audit_entries where id = any($1)`, entries)
	batch.Queue(`delete from audit_blocks where number <= $1`, through.number)
	batch.Queue(`update audit_chain set pruned_number = $1, pruned_hash = $2`, through.number, through.hash)
	batch.Queue(`select set_config('orderflow.prune_audit', 'off', true)`)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return 0, err
	}
	return n, Record(ctx, tx, Entry{
		Action: pruned, Subject: strconv.FormatInt(through.number, 10),
		Changes: []Change{Now("throughBlock", through.number), Now("hash", hex.EncodeToString(through.hash))},
	})
}
