package orders

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/storage"
)

// ranges returns the filter without its words as ranges of an index that exclude each other, newest
// first, and appends their values to args.
//
// The planner must not choose by its statistics, which may be missing or those of an early, small state
// (SPEC E31): through another index, or by sorting, it may read the whole table for one page. So the
// order of a range begins with the first column of its index, and that column is compared as a row,
// which the planner takes for many rows and does not drop from the order. And a condition must not be
// that of a partial index which has nothing else to do with the range: without statistics the planner
// takes such an index for tiny.
func ranges(f Filter, args *[]any) []storage.Range {
	switch {
	case f.Reference != "":
		return []storage.Range{ofReference(f, args)}
	case f.UserID != uuid.Nil:
		return []storage.Range{ofUser(f, args)}
	case len(f.Statuses) > 0:
		return ofStatuses(f, args)
	}
	r := inTime(f, present, args)
	return []storage.Range{r.inOrder("o.id desc")}
}

// ofReference finds the orders by the index of references, at most one of each user.
func ofReference(f Filter, args *[]any) storage.Range {
	found := where{args: args}
	found.and("r.reference = any((select $%d::text[])::text[])", spellings(f.Reference))
	if f.UserID != uuid.Nil {
		found.and("r.user_id = (select $%d::uuid)", f.UserID)
	}
	r := inTime(f, present, args)
	r.list = append(r.list, "o.id = any(array(select r.id from orders r where "+found.String()+"))")
	if len(f.Statuses) > 0 {
		r.and("o.status = any($%d)", f.Statuses)
	}
	return r.inOrder("o.id desc")
}

// ofUser is a range of orders_user. The status is no condition that an index could serve: orders_status
// has the orders of all users.
func ofUser(f Filter, args *[]any) storage.Range {
	r := inTime(f, present, args)
	r.and("(o.user_id, o.id) >= ($%[1]d, '"+uuid.Nil.String()+"') and (o.user_id, o.id) <= ($%[1]d, '"+uuid.Max.String()+"')", f.UserID)
	if len(f.Statuses) > 0 {
		r.and("o.status || '' = any($%d)", f.Statuses)
	}
	return r.inOrder("o.user_id, o.id desc")
}

// ofStatuses are ranges of orders_status, one for each status.
func ofStatuses(f Filter, args *[]any) (list []storage.Range) {
	for _, s := range f.Statuses {
		r := inTime(f, "o.deleted_at is null", args)
		r.and("(o.status, o.id) >= ($%[1]d, '"+uuid.Nil.String()+"') and (o.status, o.id) <= ($%[1]d, '"+uuid.Max.String()+"')", s)
		list = append(list, r.inOrder("o.status, o.id desc"))
	}
	return list
}

// where is a list of conditions, and the arguments of the statement that they belong to.
type where struct {
	args *[]any
	list []string
}

// present is the condition of orders_status in words that the planner does not recognize.
const present = "case when o.deleted_at is null then true else false end"

// inTime has what every range of orders o must meet: not deleted, and within the filter's times and
// cursor.
func inTime(f Filter, present string, args *[]any) where {
	w := where{args: args, list: []string{present}}
	from, to := bounds(f) // without statistics, two bounds count as a few rows
	if from != uuid.Nil {
		w.and("o.id >= $%d", from)
	}
	if to != uuid.Max {
		w.and("o.id < $%d", to)
	}
	return w
}

func (w *where) and(condition string, value any) {
	*w.args = append(*w.args, value)
	w.list = append(w.list, fmt.Sprintf(condition, len(*w.args)))
}

func (w *where) String() string { return strings.Join(w.list, " and ") }

func (w *where) inOrder(order string) storage.Range {
	return storage.Range{Where: w.String(), Order: order}
}
