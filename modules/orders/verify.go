package orders

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// The invariants that Check verifies.
const (
	LawFirstEvent  = "first-event"
	LawVersions    = "versions"
	LawEventOrder  = "event-order"
	LawEventUser   = "event-user"
	LawIllegalMove = "illegal-move"
	LawFold        = "fold"
)

// Breach is a violated invariant of an order.
type Breach struct{ Law, Detail string }

// breaches collects the violations of one order.
type breaches []Breach

func (b *breaches) add(law, format string, args ...any) {
	*b = append(*b, Breach{law, fmt.Sprintf(format, args...)})
}

// Check compares an order with its events, first to last: they must be complete, consist of
// legal transitions, and yield the row (SPEC E1, C9).
func Check(o storage.Full, history []events.Event) []Breach {
	row := o.Row
	var found breaches
	if len(history) == 0 || history[0].Type != lifecycle.EventCreated {
		found.add(LawFirstEvent, "its history does not begin with %s", lifecycle.EventCreated)
	}
	whole := found.versions(row, history)
	found.sequence(row, history)
	if !whole || len(history) == 0 {
		return found // the other checks would only repeat the violation
	}

	if err := legal(history); err != nil {
		found.add(LawIllegalMove, "%v", err)
	}
	folded, err := Fold(history)
	if err != nil {
		found.add(LawFold, "%v", err)
		return found
	}
	if diff := differ(folded, snapshot(o)); diff != "" {
		found.add(LawFold, "%s", diff)
	}
	return found
}

// versions reports whether the versions of the events have no gaps and end with the version of
// the row.
func (b *breaches) versions(row *ent.Order, history []events.Event) bool {
	for i, e := range history {
		if e.Version != int64(i+1) {
			b.add(LawVersions, "event %d has version %d", i+1, e.Version)
			return false
		}
	}
	if n := int64(len(history)); n != row.Version {
		b.add(LawVersions, "version %d, but %d events", row.Version, n)
		return false
	}
	return true
}

// sequence checks the order of the events in the log and their user.
func (b *breaches) sequence(row *ent.Order, history []events.Event) {
	for i, e := range history {
		if i > 0 && !history[i-1].Cursor.Before(e.Cursor) {
			b.add(LawEventOrder, "event %d is not behind event %d in the log", e.Version, history[i-1].Version)
		}
		if e.UserID != row.UserID {
			b.add(LawEventUser, "event %d is of user %s, the order of %s", e.Version, e.UserID, row.UserID)
		}
	}
}

// legal replays the history and looks up every transition in the table, each by the
// roles of the event's actor.
func legal(history []events.Event) error {
	var state lifecycle.State
	for i, stored := range history {
		e, _, err := decodeEvent(stored)
		if err != nil {
			return err
		}
		if err := follows(state, e, i == 0, lifecycle.RoleOf(e.Actor, stored.UserID.String())); err != nil {
			return err
		}
		state = state.Apply(e)
	}
	return nil
}

// follows returns why an event cannot come after a state.
func follows(s lifecycle.State, e lifecycle.Event, first bool, role lifecycle.Role) error {
	d := e.Data
	switch {
	case first && d.Status != lifecycle.Pending:
		return fmt.Errorf("it began as %s", d.Status)
	case first:
		return nil
	case d.PreviousStatus == "" && d.Status != s.Status, d.PreviousStatus != "" && d.PreviousStatus != s.Status:
		return fmt.Errorf("event %d, %s, leads from %s to %s, but the order was %s", e.Version, e.Type, d.PreviousStatus, d.Status, s.Status)
	case d.PreviousStatus == "":
		return nil
	}
	if err := lifecycle.Check(s, d.Status, role); err != nil {
		return fmt.Errorf("event %d, %s by %s: %w", e.Version, e.Type, e.Actor, err)
	}
	return nil
}

// differ returns the names of the members in which two JSON documents differ.
func differ(folded, row Order) string {
	a, errA := canonical.Marshal(folded)
	b, errB := canonical.Marshal(row)
	if errA != nil || errB != nil {
		return fmt.Sprintf("cannot be rendered: %v %v", errA, errB)
	}
	if bytes.Equal(a, b) {
		return ""
	}
	x, y := members(a), members(b) // equal metadata may be encoded differently
	var list []string
	for _, name := range slices.Sorted(maps.Keys(y)) {
		if !reflect.DeepEqual(x[name], y[name]) {
			list = append(list, fmt.Sprintf("%s: events say %v, the row %v", name, x[name], y[name]))
		}
	}
	return strings.Join(list, "; ")
}

func members(raw []byte) (m map[string]any) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	_ = d.Decode(&m) // valid JSON, because the caller has just rendered it
	return m
}
