package events

import (
	"fmt"
	"math"
	"regexp"
	"strconv"

	"orderflow/platform/fault"
)

// Cursor is a place in the log: everything up to and including it has been seen.
// Its order is (Xid, Seq): see After for why that loses nothing.
type Cursor struct {
	Epoch string // which cluster and database the numbers belong to
	Xid   uint64
	Seq   int64
}

// String is the form that clients keep. They must not look inside.
func (c Cursor) String() string { return fmt.Sprintf("%s-%x-%x", c.Epoch, c.Xid, c.Seq) }

// Before tells whether c comes earlier in the log than d.
func (c Cursor) Before(d Cursor) bool {
	return c.Xid < d.Xid || c.Xid == d.Xid && c.Seq < d.Seq
}

var cursorForm = regexp.MustCompile(`^([0-9a-f]{8})-([0-9a-f]{1,16})-([0-9a-f]{1,16})$`)

// ParseCursor reads what String wrote. Anything else is a fault that a client may be told.
func ParseCursor(s string) (Cursor, error) {
	bad := fault.New(fault.Malformed, "malformed", "The cursor is not one that this API gave out.")
	bad.Fields = []fault.Field{{Pointer: "/query/after", Code: "format", Message: "is not a cursor"}}

	m := cursorForm.FindStringSubmatch(s)
	if m == nil {
		return Cursor{}, bad
	}
	xid, err := strconv.ParseUint(m[2], 16, 64)
	if err != nil {
		return Cursor{}, bad
	}
	seq, err := strconv.ParseUint(m[3], 16, 64)
	if err != nil || seq > math.MaxInt64 {
		return Cursor{}, bad
	}
	return Cursor{Epoch: m[1], Xid: xid, Seq: int64(seq)}, nil
}
