// Package jsontime formats times in the JSON of the API, of events and of webhooks.
package jsontime

import (
	"errors"
	"regexp"
	"strings"
	"time"
)

// Time is a time in the format of the API: RFC 3339 in UTC with milliseconds. Parsing accepts any
// RFC 3339 offset. Query parameters are a Param.
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

// Param is a Time in a query string. It may also be a date, which means midnight UTC at the
// beginning of the day. Besides, it takes what RFC 3339 allows and Go's parser does not: a leap second,
// which counts as the next second, and small letters; and a space in place of "+", because that is
// how a query string writes a space. A time without a zone is refused, since nobody can know which is meant.
type Param Time

// Std returns the time in UTC.
func (p Param) Std() time.Time { return Time(p).Std() }

// IsZero reports whether the parameter is absent.
func (p Param) IsZero() bool { return Time(p).IsZero() }

var leapSecond = regexp.MustCompile(`^(.{10}T\d\d:\d\d):60([.Z+-].*)$`)

// UnmarshalText parses a time or a date.
func (p *Param) UnmarshalText(text []byte) error {
	s := strings.ToUpper(string(text))
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		*p = present(day)
		return nil
	}
	if at := len(s) - len(" 00:00"); at > 0 && s[at] == ' ' {
		s = s[:at] + "+" + s[at+1:]
	}
	var late time.Duration
	if m := leapSecond.FindStringSubmatch(s); m != nil {
		s, late = m[1]+":59"+m[2], time.Second
	}
	var t Time
	if err := t.UnmarshalText([]byte(s)); err != nil {
		return errParam
	}
	*p = present(t.Std().Add(late))
	return nil
}

// present tells the first moment of the year 1, which is the zero Time, from an absent parameter.
func present(t time.Time) Param {
	if t.IsZero() {
		t = t.Add(time.Nanosecond)
	}
	return Param(t)
}

var errParam = errors.New("expected a date such as 2026-01-31, or a time with a zone such as 2026-01-31T12:00:00Z (RFC 3339)")
