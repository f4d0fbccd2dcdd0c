package storage

import (
	"slices"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/ent/order"
)

// C6: the statements have every column of the entity, and each is written when it can
// change. A wrong phase would lose a change, or write what never changes.
func TestColumnsAreComplete_C6(t *testing.T) {
	t.Parallel()
	written := map[phase][]string{}
	for _, c := range rowColumns {
		written[c.written] = append(written[c.written], c.name)
	}

	for when, want := range map[phase]string{
		atInsert:            "id user_id currency total on_shortage payment_method metadata note reference created_at",
		atInsert | atUpdate: "status version due_at updated_at",
	} {
		for name := range strings.FieldsSeq(want) {
			if !slices.Contains(written[when], name) {
				t.Errorf("%s is not written in phase %b: %v", name, when, written)
			}
		}
	}
	var names []string
	for _, c := range rowColumns {
		names = append(names, c.name)
	}
	if !slices.Equal(names, order.Columns) {
		t.Errorf("the statements have %v, ent has %v; run task generate", names, order.Columns)
	}
}
