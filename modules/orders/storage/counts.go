package storage

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
)

// How many rows of counts are worth folding, and how many one fold takes.
const (
	foldFrom   = 100
	foldAtOnce = 10_000
)

// QueueCounts adds changes in the number of orders by status to a batch that
// places or moves orders. They are appended, never updated: all transactions of
// all nodes write here, and none may wait for another (SPEC G2).
func QueueCounts(b *pgx.Batch, deltas map[string]int64) {
	var statuses []string
	var ns []int64
	for _, status := range slices.Sorted(maps.Keys(deltas)) {
		if n := deltas[status]; n != 0 {
			statuses, ns = append(statuses, status), append(ns, n)
		}
	}
	if len(statuses) == 0 {
		return
	}
	b.Queue(`insert into order_counts (status, n) select * from unnest($1::text[], $2::bigint[])`, statuses, ns)
}

// PlacedCounts is what placing n orders changes.
func PlacedCounts(n int) map[string]int64 {
	return map[string]int64{string(lifecycle.Pending): int64(n)}
}

// MovedCounts is the difference that changed orders make. A deleted order does not count.
func MovedCounts(changed []*lifecycle.Order) map[string]int64 {
	deltas := map[string]int64{}
	for _, o := range changed {
		if before := o.Loaded(); !before.Deleted {
			deltas[string(before.Status)]--
		}
		if !o.Deleted {
			deltas[string(o.Status)]++
		}
	}
	return deltas
}

// FoldCounts adds up rows of counts, and returns how many it took. Any number of
// nodes may do it at once: each takes what no other has, and a reader sees a row
// or the sum that it went into, never both and never neither.
func FoldCounts(ctx context.Context, tx pgx.Tx) (folded int, err error) {
	err = tx.QueryRow(ctx, `
		with free as (
			select id from order_counts
			where (select count(*) from (select from order_counts limit $2) as enough) = $2
			order by id limit $1 for update skip locked
		), gone as (
			delete from order_counts where id in (select id from free) returning status, n
		), sums as (
			insert into order_counts (status, n)
			select status, sum(n)::bigint from gone group by status having sum(n) <> 0
		)
		select count(*) from gone`, foldAtOnce, foldFrom).Scan(&folded)
	return folded, err
}
