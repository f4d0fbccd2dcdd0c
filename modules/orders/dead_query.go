package orders

import (
	"fmt"

	"github.com/google/uuid"
)

// openSteps returns the steps that have open dead letters. It reads one entry of the index
// dead_letters_open for each, instead of all open dead letters.
const openSteps = `
	with recursive steps (step) as (
		(select step from dead_letters where resolved_at is null order by step limit 1)
		union all
		select (select l.step from dead_letters l where l.resolved_at is null and l.step > s.step order by l.step limit 1) from steps s where s.step is not null
	)
	select step from steps where step is not null`

// letters returns the query for the dead letters of a page, oldest first, and appends its values to args.
// It leaves no choice of the index to the planner, which may know an early state only (SPEC E31): given
// ids and orders are looked up, and open dead letters are ranges of the index of their steps.
func (f DeadLetterQuery) letters(args *[]any) string {
	w := f.conditions(args)
	switch {
	case len(f.IDs) > 0:
		w.and("d.id = any($%d)", f.IDs)
		w.ofStep(f.Step)
	case len(f.Orders) > 0:
		w.and("d.id = any(array(select l.id from dead_letters l where l.order_id = any($%d)))", f.Orders)
		w.ofStep(f.Step)
	case !f.Resolved && f.Step == "":
		*args = append(*args, f.Limit)
		return "select d.* from (" + openSteps + ") s cross join lateral (select * from dead_letters d where d.step between s.step and s.step and " +
			w.String() + " order by d.step, d.id " + limited(*args) + ") d order by d.id " + limited(*args)
	case !f.Resolved:
		w.and("d.step between $%[1]d and $%[1]d", f.Step)
		*args = append(*args, f.Limit)
		return "select * from dead_letters d where " + w.String() + " order by d.step, d.id " + limited(*args)
	default:
		w.ofStep(f.Step)
	}
	*args = append(*args, f.Limit)
	return "select * from dead_letters d where " + w.String() + " order by d.id " + limited(*args)
}

// conditions are those that no index serves, and the cursor.
func (f DeadLetterQuery) conditions(args *[]any) where {
	w := where{args: args, list: []string{"d.resolved_at is null"}}
	if f.Resolved {
		w.list[0] = "d.resolved_at is not null"
	}
	if f.Error != "" {
		w.and("strpos(d.error, $%d) > 0", f.Error)
	}
	if !f.From.IsZero() {
		w.and("d.created_at >= $%d", f.From)
	}
	if !f.To.IsZero() {
		w.and("d.created_at <= $%d", f.To)
	}
	if f.After != uuid.Nil {
		w.and("d.id > $%d", f.After)
	}
	return w
}

// ofStep is a condition that uses no index.
func (w *where) ofStep(step string) {
	if step != "" {
		w.and("d.step || '' = $%d", step)
	}
}

// limited is the clause with the last argument.
func limited(args []any) string { return fmt.Sprintf("limit $%d", len(args)) }
