package uuidv7_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/uuidv7"
)

func TestFirstIsABound(t *testing.T) {
	t.Parallel()
	id := uuid.Must(uuid.NewV7())
	at := uuidv7.Time(id)
	if age := time.Since(at); age < -time.Second || age > time.Minute {
		t.Fatalf("%s was made %s ago", id, age)
	}

	for _, row := range []struct {
		at   time.Time
		want int // how the bound compares with id
	}{
		{at, -1}, {at.Add(999 * time.Microsecond), -1}, {at.Add(-time.Millisecond), -1}, {at.Add(time.Millisecond), 1},
		{time.UnixMilli(0), -1}, {at.AddDate(1000, 0, 0), 1},
		{time.UnixMilli(-1), -1}, {time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), -1}, {time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), -1},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), 1}, {time.UnixMilli(1<<48 - 1), 1}, {time.UnixMilli(1 << 48), 1},
	} {
		bound := uuidv7.First(row.at)
		if got := bytes.Compare(bound[:], id[:]); got != row.want {
			t.Errorf("the bound of %s compares %d with %s, want %d", row.at, got, id, row.want)
		}
		if got := uuidv7.Time(bound); bound != uuid.Nil && bound != uuid.Max && !got.Equal(row.at.Truncate(time.Millisecond)) {
			t.Errorf("the bound of %s is of %s", row.at, got)
		}
	}
}

// A range of times reads a range of the primary key.
func ExampleFirst() {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fmt.Println("select * from orders where id >=", uuidv7.First(from))
	// Output: select * from orders where id >= 019b76da-a800-0000-0000-000000000000
}
