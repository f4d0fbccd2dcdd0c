// Package jsontime is the form that instants have in the JSON of the API, of events
// and of webhooks.
package jsontime

import (
	"errors"
	"time"
)

// Time is an instant as the API writes it: UTC, RFC 3339, milliseconds. Reading
// accepts any RFC 3339 offset, so it serves query parameters too. An absent
// parameter is the zero Time.
type Time time.Time

const layout = "2006-01-02T15:04:05.000Z07:00"

var errTime = errors.New("not an RFC 3339 date-time")

// At turns a time into one for the API.
func At(t time.Time) Time { return Time(t) }

// AtOrNil keeps nil, for members that may be null.
func AtOrNil(t *time.Time) *Time {
	if t == nil {
		return nil
	}
	at := Time(*t)
	return &at
}

// Std is the time as the standard library has it, in UTC.
func (t Time) Std() time.Time { return time.Time(t).UTC() }

// IsZero is true for a parameter that was not given.
func (t Time) IsZero() bool { return time.Time(t).IsZero() }

func (t Time) String() string { return t.Std().Format(layout) }

// MarshalText writes milliseconds, always three digits.
func (t Time) MarshalText() ([]byte, error) { return t.Std().AppendFormat(nil, layout), nil }

// UnmarshalText reads RFC 3339.
func (t *Time) UnmarshalText(text []byte) error {
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return errTime // the parser's own text is about Go's layouts
	}
	if year := at.UTC().Year(); year < 0 || year > 9999 {
		return errTime // its offset leads to where RFC 3339 ends: we could not write it
	}
	*t = Time(at)
	return nil
}
