package web

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// numbers lists 1 to 5, as a table would.
func numbers(after int64, limit int) (rows []int64, err error) {
	for n := after + 1; n <= 5 && len(rows) < limit; n++ {
		rows = append(rows, n)
	}
	return rows, nil
}

func word(n int64) (key int64, shown string) { return n, fmt.Sprintf("n%d", n) }

// Pages of each size hold each row once, and only the last one has no cursor.
func TestKeysetWalksTheList(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]string{
		1: "[n1][n2][n3][n4][n5]", 2: "[n1 n2][n3 n4][n5]", 4: "[n1 n2 n3 n4][n5]", 5: "[n1 n2 n3 n4 n5]", 6: "[n1 n2 n3 n4 n5]",
	} {
		got, p := "", Paging{Limit: limit}
		for range 6 {
			page, err := Keyset(t.Context(), p, numbers, word)
			if err != nil {
				t.Fatal(err)
			}
			got += fmt.Sprint(page.Body.Data)
			if page.Body.NextCursor == nil {
				break
			}
			p.Cursor = *page.Body.NextCursor
		}
		if got != want {
			t.Errorf("pages of %d: %s, want %s", limit, got, want)
		}
	}
}

func cursorKey[K KeysetKey](ctx context.Context, cursor string) (key K, err error) {
	_, err = KeysetFrom(ctx, Paging{Cursor: cursor}, func(after K) ([]string, K, error) {
		key = after
		return nil, after, nil
	})
	return key, err
}

// A cursor of another kind of list is refused as one that is damaged is.
func TestKeysetCursors(t *testing.T) {
	t.Parallel()
	ctx, id := t.Context(), uuid.New()

	if key, err := cursorKey[uuid.UUID](ctx, EncodeCursor(id.String())); key != id || err != nil {
		t.Errorf("%v, %v", key, err)
	}
	if key, err := cursorKey[string](ctx, EncodeCursor("A-1")); key != "A-1" || err != nil {
		t.Errorf("%v, %v", key, err)
	}
	if key, err := cursorKey[int64](ctx, ""); key != 0 || err != nil {
		t.Errorf("the first page: %v, %v", key, err)
	}
	for _, cursor := range []string{"x", EncodeCursor("0"), EncodeCursor("-1"), EncodeCursor("1.5"), EncodeCursor("1", "2"), EncodeCursor(id.String())} {
		if key, err := cursorKey[int64](ctx, cursor); !isBadCursor(err) {
			t.Errorf("%s as a number: %v, %v", cursor, key, err)
		}
	}
	if key, err := cursorKey[uuid.UUID](ctx, EncodeCursor("1")); !isBadCursor(err) {
		t.Errorf("a number as an id: %v, %v", key, err)
	}
}

func isBadCursor(err error) bool {
	f, ok := fault.As(err)
	return ok && f.Kind == fault.KindMalformed && f.Fields[0].Pointer == "/query/cursor"
}

func ExampleKeyset() {
	page, err := Keyset(context.Background(), Paging{Limit: 2}, numbers, word)
	fmt.Println(page.Body.Data, page.Body.NextCursor != nil, err)
	// Output: [n1 n2] true <nil>
}
