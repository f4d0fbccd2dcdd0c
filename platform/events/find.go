package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// ErrNotFound means that the log does not contain the event, or no longer contains it.
var ErrNotFound = errors.New("there is no such event")

// Find returns one event. The error wraps ErrNotFound if the log does not contain it.
func (l *Log) Find(ctx context.Context, order uuid.UUID, version int64) (Event, error) {
	e, err := scan(l.pool.QueryRow(ctx, `select l.epoch, `+columns+` from event_log l cross join events e where e.order_id = $1 and e.version = $2`, order, version))
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Event{}, fmt.Errorf("find event %d of order %s: %w", version, order, err)
	}
	return e, nil
}
