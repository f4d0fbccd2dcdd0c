package storage

import (
	"slices"
	"testing"

	"github.com/orderflow-dev/orderflow/ent/order"
)

// C6: every column of the table is in the list, once, so that it is read with every
// lock and written by the statement that its phase names.
func TestColumnsAreComplete_C6(t *testing.T) {
	t.Parallel()
	var names []string
	for _, c := range rowColumns {
		names = append(names, c.name)
		if c.written == 0 {
			t.Errorf("%s is never written", c.name)
		}
	}
	want := slices.Sorted(slices.Values(order.Columns))
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("the list has %v, the table %v", names, want)
	}
}
