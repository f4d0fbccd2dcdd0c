package web

import (
	"context"
	"strconv"

	"github.com/google/uuid"
)

// KeysetKey is the type of the column by which a list is ordered. The values of one list are
// distinct. The zero value stands before the first row.
type KeysetKey interface{ uuid.UUID | string | int64 }

// Keyset answers a list that is ordered by one column: a page holds the rows that follow the
// key in its cursor, so its cost does not grow with its distance from the start, and rows that
// come or go meanwhile shift nothing.
//
// load returns at most limit rows that follow after, from the start when after is zero; Keyset
// asks for one row more than the page holds, to know whether another page follows. item returns
// the key of a row and what the client sees of it.
func Keyset[K KeysetKey, R, T any](ctx context.Context, p Paging, load func(after K, limit int) ([]R, error), item func(R) (K, T)) (*PageOf[T], error) {
	return KeysetFrom(ctx, p, func(after K) (data []T, next K, err error) {
		rows, err := load(after, p.Limit+1)
		if err != nil {
			return nil, next, err
		}
		data = make([]T, min(len(rows), p.Limit))
		var last K
		for i := range data {
			last, data[i] = item(rows[i])
		}
		if len(rows) > p.Limit {
			next = last
		}
		return data, next, nil
	})
}

// KeysetFrom is Keyset for a list that decides itself where the next page begins, such as a
// search that looks at a bounded number of rows: a page may be short, or empty, and have a
// successor. load returns the rows of the page and the key that the next one follows, zero when
// there is none.
func KeysetFrom[K KeysetKey, T any](ctx context.Context, p Paging, load func(after K) (data []T, next K, err error)) (*PageOf[T], error) {
	after, err := decodeKey[K](p.Cursor)
	if err != nil {
		return nil, err
	}
	data, next, err := load(after)
	if err != nil {
		return nil, err
	}
	return Paged(ctx, data, encodeKey(next)), nil
}

func encodeKey[K KeysetKey](key K) string {
	var zero K
	if key == zero {
		return ""
	}
	switch key := any(key).(type) {
	case uuid.UUID:
		return EncodeCursor(key.String())
	case int64:
		return EncodeCursor(strconv.FormatInt(key, 10))
	default:
		return EncodeCursor(key.(string)) //nolint:forcetypeassert // KeysetKey has these three types
	}
}

func decodeKey[K KeysetKey](cursor string) (key K, err error) {
	if cursor == "" {
		return key, nil
	}
	parts, err := DecodeCursor(cursor, 1)
	if err != nil {
		return key, err
	}
	switch key := any(&key).(type) {
	case *uuid.UUID:
		*key, err = uuid.Parse(parts[0])
	case *int64:
		if *key, err = strconv.ParseInt(parts[0], 10, 64); *key < 1 {
			err = strconv.ErrRange
		}
	case *string:
		*key = parts[0]
	}
	if err != nil {
		return key, InvalidCursor()
	}
	return key, nil
}
