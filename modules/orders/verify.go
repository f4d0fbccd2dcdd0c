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
	"github.com/orderflow-dev/orderflow/platform/canonical"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
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

// Check compares an order with its history, first to last: the history must be
// whole, made of legal moves, and add up to the row (SPEC E1, C9).
func Check(row *ent.Order, lines []Line, history []events.Event) (list []Breach) {
	found := func(law, format string, args ...any) {
		list = append(list, Breach{law, fmt.Sprintf(format, args...)})
	}
	if len(history) == 0 || history[0].Type != typeCreated {
		found(LawFirstEvent, "its history does not begin with %s", typeCreated)
	}
	whole := true
	for i, e := range history {
		if e.Version != int64(i+1) {
			found(LawVersions, "event %d has version %d", i+1, e.Version)
			whole = false
			break
		}
	}
	if n := int64(len(history)); whole && n != row.Version {
		found(LawVersions, "version %d, but %d events", row.Version, n)
		whole = false
	}
	for i, e := range history {
		if i > 0 && !history[i-1].Cursor.Before(e.Cursor) {
			found(LawEventOrder, "event %d is not behind event %d in the log", e.Version, history[i-1].Version)
		}
		if e.UserID != row.UserID {
			found(LawEventUser, "event %d is of user %s, the order of %s", e.Version, e.UserID, row.UserID)
		}
	}
	if !whole || len(history) == 0 {
		return list // what follows would only say the same again
	}

	if err := legal(history); err != nil {
		found(LawIllegalMove, "%v", err)
	}
	folded, err := Fold(history)
	if err != nil {
		found(LawFold, "%v", err)
		return list
	}
	if diff := differ(folded, snapshot(row, lines)); diff != "" {
		found(LawFold, "%s", diff)
	}
	return list
}

// legal walks along the moves that the events tell of, each by the party that the
// event names.
func legal(history []events.Event) error {
	var at lifecycle.At
	for i, e := range history {
		var d struct{ Status, PreviousStatus lifecycle.Status }
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return fmt.Errorf("event %d: %w", e.Version, err)
		}
		switch {
		case i == 0 && d.Status == lifecycle.Pending:
			at.Status = d.Status
		case i == 0:
			return fmt.Errorf("it began as %s", d.Status)
		case d.PreviousStatus == "" && d.Status != at.Status, d.PreviousStatus != "" && d.PreviousStatus != at.Status:
			return fmt.Errorf("event %d, %s, leads from %s to %s, but the order was %s", e.Version, e.Type, d.PreviousStatus, d.Status, at.Status)
		case d.PreviousStatus != "":
			if err := lifecycle.Check(at, d.Status, partyOf(e)); err != nil {
				return fmt.Errorf("event %d, %s by %s: %w", e.Version, e.Type, e.Actor, err)
			}
			at = lifecycle.At{Status: d.Status}
			if d.Status == lifecycle.OnHold {
				at.HeldFrom = d.PreviousStatus
			}
		}
	}
	return nil
}

func partyOf(e events.Event) (who lifecycle.Who) {
	kind, id := e.Actor.Parts()
	if e.Actor == identity.System {
		who |= lifecycle.System
	}
	if kind == "admin" {
		who |= lifecycle.Admin
	}
	if id == e.UserID.String() {
		who |= lifecycle.Owner
	}
	return who
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
