package events

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Cursor is a place in the log: everything up to and including it has been seen.
// Its order is (Xid, Seq): see After for why that loses nothing. The zero place, of
// both, is the beginning of the log.
type Cursor struct {
	Epoch string // which cluster and database the numbers belong to
	Xid   uint64
	Seq   int64
	// Digest tells the event at this place from another one that may get the same numbers
	// when the database goes back to an earlier state. 0 is unknown: the cursors of
	// versions that had none, and the beginning of the log.
	Digest uint32
}

// String is the form that clients keep. They must not look inside.
func (c Cursor) String() string {
	if c.Digest == 0 {
		return fmt.Sprintf("%s-%x-%x", c.Epoch, c.Xid, c.Seq)
	}
	return fmt.Sprintf("%s-%x-%x-%08x", c.Epoch, c.Xid, c.Seq, c.Digest)
}

// Before tells whether c comes earlier in the log than d.
func (c Cursor) Before(d Cursor) bool {
	return c.Xid < d.Xid || c.Xid == d.Xid && c.Seq < d.Seq
}

// follows tells whether c is a place of the log in which its numbers lead to found. An
// empty epoch is any; only this package makes such cursors, and tests.
func (c Cursor) follows(found Cursor) bool {
	return (c.Epoch == "" || c.Epoch == found.Epoch) && c.Xid == found.Xid && c.Seq == found.Seq &&
		(c.Digest == 0 || c.Digest == found.Digest)
}

// digest identifies an event by what never changes of it, as the database returns it. It
// is never 0.
func digest(order uuid.UUID, version int64, kind string, at time.Time) uint32 {
	b := make([]byte, 0, 64)
	b = append(b, order[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(version))
	b = binary.BigEndian.AppendUint64(b, uint64(at.UnixMicro()))
	sum := sha256.Sum256(append(b, kind...))
	return max(1, binary.BigEndian.Uint32(sum[:]))
}

var cursorForm = regexp.MustCompile(`^([0-9a-f]{8})-([0-9a-f]{1,16})-([0-9a-f]{1,16})(?:-([0-9a-f]{8}))?$`)

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
	c := Cursor{Epoch: m[1], Xid: xid, Seq: int64(seq)}
	if m[4] != "" {
		sum, err := strconv.ParseUint(m[4], 16, 32)
		if err != nil || sum == 0 {
			return Cursor{}, bad
		}
		c.Digest = uint32(sum)
	}
	return c, nil
}
