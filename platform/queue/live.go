package queue

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Live returns which of the ids have a job of a kind that will still run or is running, by the
// id in the job's named argument. It reads River's own table: the live jobs of the queue, which
// are few next to the finished ones. The answer is of the moment, unless q is a transaction
// that inserts such jobs only while it holds a lock for the id.
func Live(ctx context.Context, q postgres.Querier, queue, kind, argument string, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	rows, err := q.Query(ctx, `
		select (j.args->>$3)::uuid from river_job j
		where j.state in ('available', 'pending', 'retryable', 'running', 'scheduled')
		  and j.queue = $1 and j.kind = $2 and j.args->>$3 = any($4::uuid[]::text[])`, queue, kind, argument, ids)
	if err != nil {
		return nil, fmt.Errorf("look for live jobs of kind %s: %w", kind, err)
	}
	live := map[uuid.UUID]bool{}
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		live[id] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for live jobs of kind %s: %w", kind, err)
	}
	return live, nil
}
