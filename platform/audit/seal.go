package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const (
	sealEvery  = time.Second
	sealAtOnce = 1000 // entries of a block
	pruneEvery = time.Hour
)

// Sealer adds committed entries to the chain, and logs each of them once, after its commit. Any
// number of nodes may run one: the row of audit_chain is locked while a block is added, and a node
// that finds it locked leaves the work to the other.
type Sealer struct {
	pool      *postgres.Pool
	keys      Keys
	retention time.Duration
	log       *slog.Logger

	now func() time.Time // nil: the clock of the database
}

// NewSealer returns a Sealer that keeps entries for the retention, or forever if it is zero.
func NewSealer(pool *postgres.Pool, keys Keys, retention time.Duration, log *slog.Logger) *Sealer {
	return &Sealer{pool: pool, keys: keys, retention: retention, log: log}
}

// Run seals entries every second and deletes old blocks every hour, until ctx ends. It returns nil.
// Call Seal afterwards, when nothing writes entries any more.
func (s *Sealer) Run(ctx context.Context) error {
	return periodic.Run(ctx,
		periodic.Task{Name: "seal the audit trail", Interval: sealEvery, Jitter: 0.2, Immediately: true, Log: s.log, Run: s.Seal},
		periodic.Task{Name: "delete old audit entries", Interval: pruneEvery, Jitter: 0.2, Immediately: true, Log: s.log, Run: s.Prune},
	)
}

// Seal adds blocks until no committed entry is pending or another node is sealing.
func (s *Sealer) Seal(ctx context.Context) error {
	for {
		var waiting bool // looked up without a transaction that writes, because most of the time there is nothing
		if err := s.pool.QueryRow(ctx, `select exists (select from audit_pending)`).Scan(&waiting); err != nil {
			return fmt.Errorf("look for audit entries to seal: %w", err)
		}
		if !waiting {
			return nil
		}
		var b block
		var sealed []Stored
		err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
			b, sealed, err = s.seal(ctx, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("seal the audit trail: %w", err)
		}
		s.tell(ctx, b, sealed)
		if len(sealed) == 0 || b.drained {
			return nil
		}
	}
}

// seal adds one block. It returns no entries if there are none or another node holds the chain.
func (s *Sealer) seal(ctx context.Context, tx pgx.Tx) (b block, sealed []Stored, err error) {
	var previous []byte
	err = tx.QueryRow(ctx, `select number, hash, clock_timestamp() from audit_chain for update skip locked`).Scan(&b.number, &previous, &b.at)
	if errors.Is(err, pgx.ErrNoRows) {
		return block{}, nil, nil
	}
	if err != nil {
		return block{}, nil, err
	}
	// The statement sees the entries that were committed before b.at, if not more.
	rows, err := tx.Query(ctx, `
		with taken as (
			delete from audit_pending where id in (select id from audit_pending order by id limit $1) returning id
		)
		select `+entryColumns+` from taken join audit_entries e using (id) order by e.id`, sealAtOnce)
	if err != nil {
		return block{}, nil, err
	}
	if sealed, err = pgx.CollectRows(rows, scanStored); err != nil || len(sealed) == 0 {
		return block{}, nil, err
	}

	if s.now != nil {
		b.at = s.now()
	}
	signer := s.keys.current()
	b.number, b.keyID, b.drained = b.number+1, signer.id, len(sealed) < sealAtOnce
	for _, e := range sealed {
		digest := e.digest()
		b.entries, b.digests = append(b.entries, e.ID), append(b.digests, digest[:]...)
	}
	b.hash = b.sum(previous, signer.secret)
	batch := &pgx.Batch{}
	batch.Queue(`insert into audit_blocks (number, at, entries, digests, drained, key_id, hash) values ($1, $2, $3, $4, $5, $6, $7)`,
		b.number, b.at, b.entries, b.digests, b.drained, b.keyID, b.hash)
	batch.Queue(`update audit_chain set number = $1, hash = $2`, b.number, b.hash)
	return b, sealed, tx.SendBatch(ctx, batch).Close()
}

// tell logs the entries of a block that is committed, and its hash. Whoever keeps the log elsewhere
// can compare it with the chain (ADR 23).
func (s *Sealer) tell(ctx context.Context, b block, sealed []Stored) {
	for _, e := range sealed {
		attrs := []slog.Attr{
			slog.String("action", e.Action), slog.String("outcome", string(e.Outcome)), slog.Time("at", e.At.UTC()),
			slog.String("entry_id", e.ID.String()), slog.String("actor", e.Actor.Type),
			slog.String("subject_type", e.SubjectType), slog.String("subject_id", e.Subject),
		}
		for name, id := range map[string]uuid.UUID{
			"actor_id": e.Actor.ID, "session_id": e.Actor.SessionID, "key_id": e.Actor.KeyID, "user_id": e.User,
		} {
			if id != uuid.Nil {
				attrs = append(attrs, slog.String(name, id.String()))
			}
		}
		slices.SortStableFunc(attrs[7:], func(x, y slog.Attr) int { return compare(x.Key, y.Key) })
		attrs = append(attrs, slog.Any("changes", e.Changes), slog.String("network", e.Network),
			slog.String("request_id", e.RequestID), slog.Int64("count", e.Count))
		s.log.LogAttrs(ctx, slog.LevelInfo, "audit", attrs...)
	}
	if len(sealed) > 0 {
		s.log.InfoContext(ctx, "audit block sealed", "number", b.number, "entries", len(sealed), "hash", hex.EncodeToString(b.hash))
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
