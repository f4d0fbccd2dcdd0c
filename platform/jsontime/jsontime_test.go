package jsontime_test

import (
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/platform/jsontime"
)

// SPEC R42: a time in a query string is an RFC 3339 time or a date.
func TestParam(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-11-27":                     "2026-11-27T00:00:00Z",
		"1900-01-01":                     "1900-01-01T00:00:00Z",
		"2024-02-29":                     "2024-02-29T00:00:00Z",
		"2026-11-27T10:00:00Z":           "2026-11-27T10:00:00Z",
		"2026-11-27t10:00:00z":           "2026-11-27T10:00:00Z",
		"2026-11-27T10:00:00.5+02:00":    "2026-11-27T08:00:00.5Z",
		"2026-11-27T10:00:00 02:00":      "2026-11-27T08:00:00Z",
		"2026-11-27T10:00:00-23:59":      "2026-11-28T09:59:00Z",
		"2016-12-31T23:59:60Z":           "2017-01-01T00:00:00Z",
		"2016-12-31T23:59:60.25+00:00":   "2017-01-01T00:00:00.25Z",
		"9999-12-31T23:59:59Z":           "9999-12-31T23:59:59Z",
		"0001-01-01":                     "0001-01-01T00:00:00.000000001Z",
		"0001-01-02T00:00:00Z":           "0001-01-02T00:00:00Z",
		"1969-12-31T23:59:59.999999999Z": "1969-12-31T23:59:59.999999999Z",
	} {
		var p jsontime.Param
		if err := p.UnmarshalText([]byte(text)); err != nil || p.IsZero() || p.Std().Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %s, %v, want %s", text, p.Std().Format(time.RFC3339Nano), err, want)
		}
	}
	for _, text := range []string{
		"", "2026", "2026-11", "2026-13-01", "2025-02-29", "27.11.2026", "11/27/2026", "2026-11-27T10:00:00", "2026-11-27 10:00:00", "2026-11-27T10:00Z", "10000-01-01",
		"+12026-01-01T00:00:00Z", "-0001-01-01", "2026-11-27T24:00:00Z", "2026-11-27T10:00:61Z", "2026-11-27T10:00:00+25:00", "9999-12-31T23:59:59-01:00", "1764230400", "yesterday", "2026-W48-5",
	} {
		var p jsontime.Param
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s is %s", text, p.Std())
		}
	}
}
