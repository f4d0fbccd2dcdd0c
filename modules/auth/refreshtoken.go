package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
)

const (
	tagSize   = 8  // bytes of a refresh token that are the same in all tokens of a session
	tokenSize = 32 // bytes, so that 192 bits are secret (RFC 6749, section 10.10)
)

// refreshToken is a refresh token: a tag that names the session, and a secret. The first secret of
// a session is random. Each further one is an HMAC of the token before it under a key of the
// session, so that
//   - all nodes derive the same successor, without storing it;
//   - the database, which has the key and the hashes of the tokens, does not contain a token;
//   - a used token is recognised after its row was deleted, because it leads to the current one.
type refreshToken [tokenSize]byte

// newFamily returns the tag and the key of a session.
func newFamily() (tag, key []byte) {
	raw := make([]byte, tagSize+sha256.Size)
	_, _ = rand.Read(raw) // never fails
	return raw[:tagSize], raw[tagSize:]
}

// firstRefresh returns the first token of a session with that tag.
func firstRefresh(tag []byte) (t refreshToken) {
	copy(t[:], tag)
	_, _ = rand.Read(t[tagSize:]) // never fails
	return t
}

// parseRefresh accepts the one spelling of a token.
func parseRefresh(text string) (t refreshToken, err error) {
	if len(text) != base64.RawURLEncoding.EncodedLen(tokenSize) {
		return t, errForm
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != tokenSize {
		return t, errForm
	}
	return refreshToken(raw), nil
}

func (t refreshToken) text() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

func (t refreshToken) tag() []byte { return t[:tagSize] }

// hash returns the stored form.
func (t refreshToken) hash() []byte {
	sum := sha256.Sum256(t[:])
	return sum[:]
}

// successor returns the token that follows t in the session with that tag and key. A token of
// the previous version has no tag; its successor has.
func (t refreshToken) successor(tag, key []byte) (next refreshToken) {
	mac := hmac.New(sha256.New, key)
	mac.Write(t[:])
	copy(next[:], tag)
	copy(next[tagSize:], mac.Sum(nil))
	return next
}

// leadsTo reports whether one of the next tokens, at most limit, has one of the hashes. A step
// takes less than a microsecond.
func (t refreshToken) leadsTo(hashes [][]byte, key []byte, limit int64) bool {
	mac, sum := hmac.New(sha256.New, key), make([]byte, 0, sha256.Size)
	for range limit {
		mac.Reset()
		mac.Write(t[:])
		copy(t[tagSize:], mac.Sum(sum))
		hash := sha256.Sum256(t[:])
		if slices.ContainsFunc(hashes, func(known []byte) bool { return bytes.Equal(known, hash[:]) }) {
			return true
		}
	}
	return false
}
