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

// Cursor is a position in the log. Its holder has received all events up to and including this
// position. Cursors are ordered by (Xid, Seq); the package comment explains why this order loses no
// event. Zero in both is the beginning of the log.
type Cursor struct {
	Epoch string // identifies the cluster and the database that assigned the numbers
	Xid   uint64
	Seq   int64
	// Digest distinguishes the event at this position from another one that gets the same numbers
	// after the database was restored to an earlier state. 0 means unknown: in cursors of versions
	// without digests, and at the beginning of the log.
	Digest uint32
}

// String returns the form that clients store. It is opaque to them.
func (c Cursor) String() string {
	if c.Digest == 0 {
		return fmt.Sprintf("%s-%x-%x", c.Epoch, c.Xid, c.Seq)
	}
	return fmt.Sprintf("%s-%x-%x-%08x", c.Epoch, c.Xid, c.Seq, c.Digest)
}

// Before reports whether c is earlier in the log than d.
func (c Cursor) Before(d Cursor) bool {
	return c.Xid < d.Xid || c.Xid == d.Xid && c.Seq < d.Seq
}

// follows reports whether found, the position in the log with the numbers of c, is the event of c.
// An empty epoch matches every epoch; only this package and tests create such cursors.
func (c Cursor) follows(found Cursor) bool {
	return (c.Epoch == "" || c.Epoch == found.Epoch) && c.Xid == found.Xid && c.Seq == found.Seq &&
		(c.Digest == 0 || c.Digest == found.Digest)
}

// digest identifies an event by the columns that never change, with the values that the database
// returns. It is never 0.
func digest(order uuid.UUID, version int64, kind string, at time.Time) uint32 {
	b := make([]byte, 0, 64)
	b = append(b, order[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(version))
	b = binary.BigEndian.AppendUint64(b, uint64(at.UnixMicro()))
	sum := sha256.Sum256(append(b, kind...))
	return max(1, binary.BigEndian.Uint32(sum[:]))
}

var cursorForm = regexp.MustCompile(`^([0-9a-f]{8})-([0-9a-f]{1,16})-([0-9a-f]{1,16})(?:-([0-9a-f]{8}))?$`)

// ParseCursor parses the result of String. For any other text it returns a fault for the client.
func ParseCursor(s string) (Cursor, error) {
	bad := fault.New(fault.KindMalformed, "malformed", "The cursor is not one that this API gave out.")
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
