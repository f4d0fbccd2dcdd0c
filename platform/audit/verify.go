package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/laws"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// tolerance is the longest time from the time of an entry to its commit. It is longer than the
// limits of a transaction and the difference between the clocks together.
const tolerance = 2 * time.Minute

// Laws returns what must hold of the trail. The first one needs the keys with which the blocks were
// signed.
func Laws(keys Keys) []laws.Law {
	return []laws.Law{
		{
			Name: "audit-chain", Spec: "F11", Says: "no entry of the audit trail was changed, removed or added later",
			Walk: func(ctx context.Context, q postgres.Querier, broken func(subject, detail string)) error {
				return verify(ctx, q, keys, broken)
			},
		},
		{
			Name: "audit-unsealed", Spec: "F11", Says: "every entry of the audit trail that is older than two minutes is in a block",
			Query: `
			select 'audit entry ' || e.id, case when p.id is null then 'is in no block and not pending' else format('of %s is not sealed yet', e.at) end
			from audit_entries e left join audit_pending p on p.id = e.id
			where (p.id is null or e.at < now() - interval '2 minutes')
			  and not exists (select from (select unnest(b.entries) as id from audit_blocks b) s where s.id = e.id)`,
		},
		{
			Name: "audit-pending", Spec: "F11", Says: "what is pending is an entry of the audit trail that no block contains",
			Query: `
			select 'audit entry ' || p.id, case when e.id is null then 'is pending and does not exist' else 'is pending and in a block' end
			from audit_pending p left join audit_entries e on e.id = p.id
			where e.id is null or exists (select from (select unnest(b.entries) as id from audit_blocks b) s where s.id = p.id)`,
		},
	}
}

// The bounds of what the walk keeps in memory.
const (
	blocksAtOnce  = 500
	entriesAtOnce = 10_000
)

// verify walks over the chain once.
func verify(ctx context.Context, q postgres.Querier, keys Keys, broken func(subject, detail string)) error {
	c := &check{keys: keys, broken: broken}
	if err := c.begin(ctx, q); err != nil {
		return err
	}
	for after := int64(0); ; {
		list, err := blocksAfter(ctx, q, after)
		if err != nil {
			return err
		}
		for rest := list; len(rest) > 0; {
			var some []block
			some, rest = split(rest)
			if err := c.blocks(ctx, q, some); err != nil {
				return err
			}
		}
		if len(list) < blocksAtOnce {
			break
		}
		after = list[len(list)-1].number
	}
	c.end()
	return nil
}

func blocksAfter(ctx context.Context, q postgres.Querier, after int64) ([]block, error) {
	rows, err := q.Query(ctx, `
		select number, at, entries, digests, drained, key_id, hash from audit_blocks where number > $1 order by number limit $2`, after, blocksAtOnce)
	if err != nil {
		return nil, fmt.Errorf("read audit blocks: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (b block, err error) {
		err = row.Scan(&b.number, &b.at, &b.entries, &b.digests, &b.drained, &b.keyID, &b.hash)
		return b, err
	})
}

// split returns the first blocks, which have few enough entries to be read at once, and the rest.
func split(list []block) (some, rest []block) {
	n := 0
	for i, b := range list {
		if n += len(b.entries); n > entriesAtOnce && i > 0 {
			return list[:i], list[i:]
		}
	}
	return list, nil
}

// check is the state of a walk.
type check struct {
	keys   Keys
	broken func(subject, detail string)

	number   int64 // of the block before
	previous []byte
	drained  time.Time // when all entries were sealed before the present block

	signed bool // the block before has a key

	last     int64 // as audit_chain has it
	lastHash []byte
}

func (c *check) begin(ctx context.Context, q postgres.Querier) error {
	err := q.QueryRow(ctx, `select number, hash, pruned_number, pruned_hash from audit_chain`).Scan(&c.last, &c.lastHash, &c.number, &c.previous)
	if errors.Is(err, pgx.ErrNoRows) {
		c.broken("the audit trail", "has lost the row of audit_chain")
		return nil
	}
	if err != nil || c.number == 0 {
		return err
	}
	var changes string
	err = q.QueryRow(ctx, `select changes::text from audit_entries where action = $1 order by id desc limit 1`, pruned.Name).Scan(&changes)
	if errors.Is(err, pgx.ErrNoRows) {
		changes, err = "[]", nil
	}
	if err != nil {
		return err
	}
	var said []struct {
		Field string
		After any
	}
	if err := json.Unmarshal([]byte(changes), &said); err != nil {
		return fmt.Errorf("read the last %s: %w", pruned.Name, err)
	}
	want := map[string]string{"throughBlock": fmt.Sprint(c.number), "hash": hex.EncodeToString(c.previous)}
	for _, s := range said {
		if want[s.Field] == fmt.Sprint(s.After) {
			delete(want, s.Field)
		}
	}
	if len(want) > 0 {
		c.broken(fmt.Sprintf("audit block %d", c.number), "was deleted, and no audit.pruned entry says so")
	}
	return nil
}

// blocks checks blocks that follow each other, with their entries.
func (c *check) blocks(ctx context.Context, q postgres.Querier, list []block) error {
	var ids []uuid.UUID
	for _, b := range list {
		ids = append(ids, b.entries...)
	}
	rows, err := q.Query(ctx, `select `+entryColumns+` from audit_entries e where e.id = any($1)`, ids)
	if err != nil {
		return fmt.Errorf("read audit entries: %w", err)
	}
	entries := make(map[uuid.UUID]Stored, len(ids))
	stored, err := pgx.CollectRows(rows, scanStored)
	if err != nil {
		return fmt.Errorf("read audit entries: %w", err)
	}
	for _, e := range stored {
		entries[e.ID] = e
	}
	for _, b := range list {
		c.block(b)
		c.entries(b, entries)
		c.number, c.previous = b.number, b.hash
		if b.drained {
			c.drained = b.at
		}
	}
	return nil
}

// block checks that a block follows the one before.
func (c *check) block(b block) {
	subject := fmt.Sprintf("audit block %d", b.number)
	if b.number != c.number+1 {
		c.broken(subject, fmt.Sprintf("follows block %d: the blocks between are missing", c.number))
		return // its hash cannot follow either
	}
	if len(b.digests) != sha256.Size*len(b.entries) {
		c.broken(subject, "has digests of another number of entries")
		return
	}
	secret, known := c.keys.find(b.keyID)
	switch {
	case !known:
		c.broken(subject, fmt.Sprintf("is signed with the key %q, which AUDIT_KEYS does not contain", b.keyID))
	case !hmac.Equal(b.hash, b.sum(c.previous, secret)):
		c.broken(subject, "was changed: its hash does not follow from its contents and the block before")
	case b.keyID == "" && c.signed:
		c.broken(subject, "is not signed, although the block before is")
	}
	c.signed = b.keyID != ""
}

// entries checks that the entries of a block are those that were sealed.
func (c *check) entries(b block, found map[uuid.UUID]Stored) {
	for i, id := range b.entries {
		subject := "audit entry " + id.String()
		e, there := found[id]
		if !there {
			c.broken(subject, fmt.Sprintf("of block %d was removed", b.number))
			continue
		}
		digest := e.digest()
		if sealed := b.digests[min(i*sha256.Size, len(b.digests)):min((i+1)*sha256.Size, len(b.digests))]; !bytes.Equal(digest[:], sealed) {
			c.broken(subject, fmt.Sprintf("of block %d was changed", b.number))
			continue
		}
		// An older entry would have been pending at that time.
		if e.At.Before(c.drained.Add(-tolerance)) {
			c.broken(subject, fmt.Sprintf("is of %s and was added after block %d had sealed everything until %s",
				e.At.UTC().Format(time.RFC3339), b.number-1, c.drained.UTC().Format(time.RFC3339)))
		}
	}
}

// end checks that the chain has not lost its end.
func (c *check) end() {
	switch {
	case c.number < c.last:
		c.broken("the audit trail", fmt.Sprintf("ends with block %d, and block %d was sealed", c.number, c.last))
	case c.number > c.last:
		c.broken("the audit trail", fmt.Sprintf("has block %d, although block %d is the last one that was sealed", c.number, c.last))
	case !bytes.Equal(c.previous, c.lastHash):
		c.broken("the audit trail", fmt.Sprintf("ends with another block %d than the one that was sealed", c.number))
	}
}
