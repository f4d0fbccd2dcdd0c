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
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/canonical"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// The laws that Check knows.
const (
	LawFirstEvent  = "first-event"
	LawVersions    = "versions"
	LawEventOrder  = "event-order"
	LawEventUser   = "event-user"
	LawIllegalMove = "illegal-move"
	LawFold        = "fold"
)

// Breach is a law that an order breaks, and how.
type Breach struct{ Law, Detail string }

// breaches collects what is found about one order.
type breaches []Breach

func (b *breaches) add(law, format string, args ...any) {
	*b = append(*b, Breach{law, fmt.Sprintf(format, args...)})
}

// Check compares an order with its history, first to last: the history must be
// whole, made of legal transitions, and add up to the row (SPEC E1, C9).
func Check(o storage.Full, history []events.Event) []Breach {
	row := o.Row
	var found breaches
	if len(history) == 0 || history[0].Type != lifecycle.EventCreated {
		found.add(LawFirstEvent, "its history does not begin with %s", lifecycle.EventCreated)
	}
	whole := found.versions(row, history)
	found.sequence(row, history)
	if !whole || len(history) == 0 {
		return found // what follows would only say the same again
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

// versions reports whether the events are numbered without a hole, up to the
// version of the row.
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

// sequence compares the events with their places in the log and with their owner.
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

// differ names the members in which two renderings differ.
func differ(folded, row Order) string {
	a, errA := canonical.Marshal(folded)
	b, errB := canonical.Marshal(row)
	if errA != nil || errB != nil {
		return fmt.Sprintf("cannot be rendered: %v %v", errA, errB)
	}
	if bytes.Equal(a, b) {
		return ""
	}
	x, y := members(a), members(b) // the same metadata may be written in two ways
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
	_ = d.Decode(&m) // it was rendered a moment ago
	return m
}
