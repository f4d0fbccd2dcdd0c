package retryafter_test

import (
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/internal/retryafter"
)

func TestParse(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]struct {
		wait time.Duration
		ok   bool
	}{
		"": {}, "soon": {}, "1e3": {}, "1.5": {}, "0x10": {}, "Tue, 99 Jan 2030": {},
		"2147483648": {retryafter.Longest, true}, "99999999999999999999": {retryafter.Longest, true}, "-99999999999999999999": {0, true},
		"Fri, 31 Dec 9999 23:59:59 GMT": {retryafter.Longest, true}, "86400": {24 * time.Hour, true},
		"Tuesday, 01-Jan-30 12:00:30 GMT": {30 * time.Second, true}, " Tue, 01 Jan 2030 12:00:30 GMT ": {30 * time.Second, true},
		"5": {5 * time.Second, true}, " 7 ": {7 * time.Second, true}, "-5": {0, true},
		"Tue, 01 Jan 2030 12:00:30 GMT": {30 * time.Second, true},
		"Mon, 02 Jan 2006 15:04:05 GMT": {0, true},
	} {
		if wait, ok := retryafter.Parse(value, now); wait != want.wait || ok != want.ok {
			t.Errorf("%q: %s, %t", value, wait, ok)
		}
	}
}
