package orders

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"github.com/orderflow-dev/orderflow/internal/uuidv7"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// Filter narrows a list; zero values do not. From and To are inclusive.
type Filter struct {
	UserID    uuid.UUID
	Statuses  []lifecycle.Status
	Reference string
	From, To  time.Time
	Words     string    // empty for all orders; a text without a word finds none
	Before    uuid.UUID // the last id of the page before
	Limit     int
}

// bounds returns the range of ids, from inclusive to exclusive, that matches the filter's times
// and cursor.
func bounds(f Filter) (from, to uuid.UUID) {
	to = uuid.Max
	if !f.From.IsZero() {
		from = uuidv7.First(f.From)
	}
	if !f.To.IsZero() {
		to = uuidv7.First(f.To.Add(time.Millisecond))
	}
	if f.Before != uuid.Nil && bytes.Compare(f.Before[:], to[:]) < 0 {
		to = f.Before
	}
	return from, to
}

// whose returns the user whose orders the caller gets: the caller, or for administrators any
// user or, as the zero id, all users.
func whose(caller identity.Caller, asked uuid.UUID) (uuid.UUID, error) {
	switch {
	case caller.IsAdmin():
		return asked, nil
	case asked == uuid.Nil, asked == caller.UserID:
		return caller.UserID, nil
	}
	return uuid.Nil, fault.New(fault.KindForbidden, "forbidden", "Only administrators may read the orders of other users.")
}

// orEvery returns the requested statuses, or one element that stands for all statuses.
func orEvery(list []lifecycle.Status) []lifecycle.Status {
	if len(list) == 0 {
		return []lifecycle.Status{""}
	}
	return list
}

// conditions returns the filter without its words as SQL conditions on orders o, and appends
// their values to args.
func conditions(f Filter, status lifecycle.Status, args *[]any) string {
	list := []string{"o.deleted_at is null"}
	also := func(condition string, value any) {
		*args = append(*args, value)
		list = append(list, fmt.Sprintf(condition, len(*args)))
	}
	if f.UserID != uuid.Nil {
		also("o.user_id = $%d", f.UserID)
	}
	if status != "" {
		also("o.status = $%d", status)
	}
	if f.Reference != "" {
		// Orders that were placed before references were composed have them as they were given.
		also("o.reference = any($%d)", spellings(f.Reference))
	}
	from, to := bounds(f)
	also("o.id >= $%d", from)
	also("o.id < $%d", to)
	return strings.Join(list, " and ")
}

// spellings returns a reference as it is stored, composed, and as it may have been stored before.
func spellings(reference string) []string {
	list := []string{norm.NFC.String(reference), norm.NFD.String(reference), reference}
	slices.Sort(list)
	return slices.Compact(list)
}
