package audit

import (
	"bytes"
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
// a page costs the same in a trail of any length. With several of them the first one that is set, in
// the order request id, subject, user, actor, action, selects the rows that are read.
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

// query returns the statement of a list. The planner may not know that a value is rare, and would then
// read the whole table in the order of its ids. So the first filter that has an index leads: its
// column begins the order, and a comparison of rows stands for equality, after which only that index
// has this order. The filters on actions have several ranges, which are merged.
func (f Filter) query() (string, []any) {
	var args []any
	arg := func(value any) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args))
	}
	var conditions []string
	column, values := "", ""
	filter := func(set bool, name, kind string, value any) {
		switch {
		case !set:
		case column == "":
			column, values = name, fmt.Sprintf("unnest(%s::%s[])", arg(value), kind)
		default:
			conditions = append(conditions, fmt.Sprintf("e.%s = any(%s::%s[])", name, arg(value), kind))
		}
	}
	filter(f.RequestID != "", "request_id", "text", []string{f.RequestID})
	filter(f.Subject != "", "subject_id", "text", []string{f.Subject})
	filter(f.User != uuid.Nil, "user_id", "uuid", []uuid.UUID{f.User})
	filter(f.Actor != uuid.Nil, "actor_id", "uuid", []uuid.UUID{f.Actor})
	filter(len(f.Actions) > 0, "action", "text", f.Actions)
	if f.RequestID != "" {
		conditions = append(conditions, "e.request_id <> ''") // as the index has it
	}
	if f.SubjectType != "" {
		conditions = append(conditions, "e.subject_type = "+arg(f.SubjectType))
	}
	if !f.From.IsZero() {
		conditions = append(conditions, "e.id > "+arg(uuidv7.First(f.From)))
	}
	before := f.Before
	if before == uuid.Nil {
		before = uuid.Max
	}
	if to := uuidv7.First(f.To.Add(time.Millisecond)); !f.To.IsZero() && bytes.Compare(to[:], before[:]) < 0 {
		before = to
	}
	end, limit := arg(before), arg(f.Limit)
	if column == "" {
		return fmt.Sprintf(`select %s from audit_entries e where %s order by e.id desc limit %s`,
			entryColumns, strings.Join(append(conditions, "e.id < "+end), " and "), limit), args
	}
	conditions = append(conditions, fmt.Sprintf("(e.%[1]s, e.id) < (v.value, %[2]s) and e.%[1]s >= v.value", column, end))
	return fmt.Sprintf(`select %s from %s as v (value) cross join lateral (select * from audit_entries e where %s order by e.%s desc, e.id desc limit %s) e
		order by e.id desc limit %[5]s`, entryColumns, values, strings.Join(conditions, " and "), column, limit), args
}
