package postgres

import "time"

// Now is the present time in UTC with the precision of timestamptz, which is a microsecond. A
// value that is written and read again equals itself only when it is no more precise.
func Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
