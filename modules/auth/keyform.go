package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"math/big"
	"strings"

	"github.com/google/uuid"
)

// An API key is ofk_<id>_<secret><checksum>: 16, 32 and 4 bytes, each as a number
// of fixed length in base 62, so that a double click takes all of it.
//
// The prefix and the checksum are for secret scanners of code and logs, and detect typos
// without a query. The id is the primary key of the row and identifies a leaked key. The secret
// has 256 random bits, so it needs neither a salt nor a slow hash.
const (
	keyPrefix   = "ofk_"
	idDigits    = 22
	proofDigits = 43
	checkDigits = 6
	keyLength   = len(keyPrefix) + idDigits + 1 + proofDigits + checkDigits
)

type keyHash [sha256.Size]byte

// publicPart returns the part of a key that is not secret.
func publicPart(id uuid.UUID) string { return keyPrefix + digits(id[:], idDigits) }

// newAPIKey returns a new key with that id, and the hash to store.
func newAPIKey(id uuid.UUID) (key string, hash keyHash) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	key = publicPart(id) + "_" + digits(secret, proofDigits)
	return key + checksum(key), sha256.Sum256(secret)
}

// isAPIKey reports whether a credential is an API key, possibly a malformed one, and not an
// access token.
func isAPIKey(token string) bool { return strings.HasPrefix(token, keyPrefix) }

// parseAPIKey parses a key. Each key has exactly one valid spelling.
func parseAPIKey(key string) (id uuid.UUID, hash keyHash, ok bool) {
	if len(key) != keyLength || !isAPIKey(key) {
		return id, hash, false
	}
	body, check := key[:keyLength-checkDigits], key[keyLength-checkDigits:]
	if checksum(body) != check {
		return id, hash, false
	}
	name, proof, found := strings.Cut(body[len(keyPrefix):], "_")
	var secret [32]byte
	if !found || len(name) != idDigits || !number(name, id[:]) || !number(proof, secret[:]) {
		return id, hash, false
	}
	return id, sha256.Sum256(secret[:]), true
}

func checksum(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	return digits([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}, checkDigits)
}

// digits encodes bytes with a fixed number of digits.
func digits(raw []byte, n int) string {
	s := new(big.Int).SetBytes(raw).Text(62)
	return strings.Repeat("0", n-len(s)) + s
}

// number decodes the result of digits. It returns false for values that do not fit and for
// invalid digits; the library would accept signs and underscores.
func number(s string, raw []byte) bool {
	if strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return false
	}
	n, ok := new(big.Int).SetString(s, 62)
	if !ok || n.BitLen() > 8*len(raw) {
		return false
	}
	n.FillBytes(raw)
	return true
}
