// Package uuidv7 relates time-ordered UUIDs (RFC 9562 section 5.7) to times. Their first 48
// bits are milliseconds since 1970, so a range of times is a range of a primary key.
package uuidv7

import (
	"time"

	"github.com/google/uuid"
)

// First returns a bound below every UUIDv7 that is made at t or later, and above every one that
// is made before the millisecond of t. It is not itself a valid UUIDv7. For a time before 1970 it
// is uuid.Nil, for one that 48 bits cannot hold uuid.Max.
func First(t time.Time) (id uuid.UUID) {
	ms := t.UnixMilli()
	switch {
	case ms < 0:
		return uuid.Nil
	case ms >= 1<<48:
		return uuid.Max
	}
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// Time returns the time at which a UUIDv7 was made, in UTC and in whole milliseconds.
func Time(id uuid.UUID) time.Time {
	var ms int64
	for i := range 6 {
		ms = ms<<8 | int64(id[i])
	}
	return time.UnixMilli(ms).UTC()
}
