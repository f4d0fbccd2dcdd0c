// Package jsontime formats times in the JSON of the API, of events and of webhooks.
package jsontime

import (
	"errors"
	"time"
)

// Time is a time in the format of the API: RFC 3339 in UTC with milliseconds. Parsing accepts any
// RFC 3339 offset, so it can be used for query parameters too. An absent parameter is the zero
// Time.
type Time time.Time

const layout = "2006-01-02T15:04:05.000Z07:00"

var errTime = errors.New("not an RFC 3339 date-time")

// At returns t as a Time.
func At(t time.Time) Time { return Time(t) }

// AtOrNil is At for members that may be null: it returns nil for nil.
func AtOrNil(t *time.Time) *Time {
	if t == nil {
		return nil
	}
	at := Time(*t)
	return &at
}

// Std returns the time as a time.Time in UTC.
func (t Time) Std() time.Time { return time.Time(t).UTC() }

// IsZero reports whether t is the zero Time, such as an absent parameter.
func (t Time) IsZero() bool { return time.Time(t).IsZero() }

// String returns the time as MarshalText writes it.
func (t Time) String() string { return t.Std().Format(layout) }

// MarshalText writes milliseconds with exactly three digits.
func (t Time) MarshalText() ([]byte, error) { return t.Std().AppendFormat(nil, layout), nil }

// UnmarshalText parses RFC 3339.
func (t *Time) UnmarshalText(text []byte) error {
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return errTime // the error of the parser mentions Go's layouts
	}
	if year := at.UTC().Year(); year < 0 || year > 9999 {
		return errTime // in UTC the year is outside the range of RFC 3339, so it could not be written
	}
	*t = Time(at)
	return nil
}
