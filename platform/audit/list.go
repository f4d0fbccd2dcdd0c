package audit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/uuidv7"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Filter selects entries. Zero values do not narrow it.
type Filter struct {
	Actor       uuid.UUID
	Actions     []string // any of them
	SubjectType string
	Subject     string
	User        uuid.UUID
	RequestID   string
	From, To    time.Time // of their ids, in milliseconds, both included
	Before      uuid.UUID // the last id of the page before
	Limit       int
}

// List returns entries, newest first.
//
// Each of actor, action, subject, user and request id has an index in the order of the list, so that
// a page costs the same in a trail of any length. With several of them the database reads the rows
// of the rarest one.
func List(ctx context.Context, q postgres.Querier, f Filter) ([]Stored, error) {
	query, args := f.query()
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list audit entries: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanStored)
	if err != nil {
		return nil, fmt.Errorf("list audit entries: %w", err)
	}
	return list, nil
}

func (f Filter) query() (string, []any) {
	var args []any
	var conditions []string
	when := func(set bool, condition string, arg any) {
		if set {
			args = append(args, arg)
			conditions = append(conditions, fmt.Sprintf(condition, len(args)))
		}
	}
	when(f.Actor != uuid.Nil, "e.actor_id = $%d", f.Actor)
	when(f.Subject != "", "e.subject_id = $%d", f.Subject)
	when(f.SubjectType != "", "e.subject_type = $%d", f.SubjectType)
	when(f.User != uuid.Nil, "e.user_id = $%d", f.User)
	when(f.RequestID != "", "e.request_id = $%d and e.request_id <> ''", f.RequestID)
	when(!f.From.IsZero(), "e.id > $%d", uuidv7.First(f.From))
	when(!f.To.IsZero(), "e.id < $%d", uuidv7.First(f.To.Add(time.Millisecond)))
	when(f.Before != uuid.Nil, "e.id < $%d", f.Before)
	args = append(args, f.Limit)
	limit := fmt.Sprintf(" order by e.id desc limit $%d", len(args))
	if len(f.Actions) == 0 {
		where := ""
		if len(conditions) > 0 {
			where = " where " + strings.Join(conditions, " and ")
		}
		return `select ` + entryColumns + ` from audit_entries e` + where + limit, args
	}
	// A range of the index for each action, which are merged: together they would have to be sorted.
	args = append(args, f.Actions)
	conditions = append(conditions, "e.action = a.name")
	return fmt.Sprintf(`select %s from unnest($%d::text[]) as a (name) cross join lateral (select * from audit_entries e where %s%s) e%s`,
		entryColumns, len(args), strings.Join(conditions, " and "), limit, limit), args
}
