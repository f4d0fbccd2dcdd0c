package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Stored is an entry as it is stored. Its members are exactly those that its digest covers.
type Stored struct {
	ID          uuid.UUID
	At          time.Time
	Action      string
	Outcome     Outcome
	Actor       Actor
	SubjectType string
	Subject     string
	User        uuid.UUID
	Changes     json.RawMessage
	RequestID   string
	Network     string
	Count       int64
}

const entryColumns = `e.id, e.at, e.action, e.outcome, e.actor_type, e.actor_id, e.session_id, e.key_id, e.subject_type, e.subject_id, e.user_id,
	e.changes::text, e.request_id, e.network, e.count`

func scanStored(row pgx.CollectableRow) (s Stored, err error) {
	var actor, session, key, user *uuid.UUID
	var changes string
	err = row.Scan(
		&s.ID, &s.At, &s.Action, &s.Outcome, &s.Actor.Type, &actor, &session, &key, &s.SubjectType, &s.Subject, &user,
		&changes, &s.RequestID, &s.Network, &s.Count)
	s.Actor.ID, s.Actor.SessionID, s.Actor.KeyID, s.User = orZero(actor), orZero(session), orZero(key), orZero(user)
	s.Changes = json.RawMessage(changes)
	return s, err
}

func orZero(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}

// The first bytes of what is hashed. They differ from each other, so that a digest of an entry never
// is the hash of a block. Another encoding gets another version.
const (
	entryDomain = "orderflow audit entry 1"
	blockDomain = "orderflow audit block 1"
)

// writer feeds a hash with values and their lengths, so that two lists of values never give the same
// bytes.
type writer struct{ hash.Hash }

func (w writer) bytes(b []byte) {
	_, _ = w.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
	_, _ = w.Write(b)
}

func (w writer) text(list ...string) {
	for _, s := range list {
		w.bytes([]byte(s))
	}
}

func (w writer) number(n int64) { w.bytes(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func (w writer) ids(list ...uuid.UUID) {
	for _, id := range list {
		w.bytes(id[:])
	}
}

// digest is the SHA-256 of an entry.
func (s Stored) digest() [sha256.Size]byte {
	w := writer{sha256.New()}
	w.text(entryDomain)
	w.ids(s.ID)
	w.number(s.At.UnixMicro())
	w.text(s.Action, string(s.Outcome), s.Actor.Type)
	w.ids(s.Actor.ID, s.Actor.SessionID, s.Actor.KeyID)
	w.text(s.SubjectType, s.Subject)
	w.ids(s.User)
	w.bytes(s.Changes)
	w.text(s.RequestID, s.Network)
	w.number(s.Count)
	return [sha256.Size]byte(w.Sum(nil))
}

// block is a row of audit_blocks.
type block struct {
	number  int64
	at      time.Time
	entries []uuid.UUID
	digests []byte
	drained bool
	keyID   string
	hash    []byte
}

// sum computes the hash of a block that follows the block with the hash previous: an HMAC-SHA-256
// under a key, or a SHA-256 without one.
func (b block) sum(previous, key []byte) []byte {
	w := writer{sha256.New()}
	if len(key) > 0 {
		w = writer{hmac.New(sha256.New, key)}
	}
	w.text(blockDomain)
	w.number(b.number)
	w.bytes(previous)
	w.number(b.at.UnixMicro())
	w.text(b.keyID)
	drained := int64(0)
	if b.drained {
		drained = 1
	}
	w.number(drained)
	w.number(int64(len(b.entries)))
	w.ids(b.entries...)
	w.bytes(b.digests)
	return w.Sum(nil)
}
