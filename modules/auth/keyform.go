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
// The prefix and the checksum are for those who look for keys in code and logs;
// with them a typo costs no look into the database either. The id finds the row by
// its primary key, and tells the owner of a key that was found which one it is.
// The secret has 256 random bits, so it needs neither salt nor a slow hash.
const (
	keyPrefix   = "ofk_"
	idDigits    = 22
	proofDigits = 43
	checkDigits = 6
	keyLength   = len(keyPrefix) + idDigits + 1 + proofDigits + checkDigits
)

type keyHash [sha256.Size]byte

// publicPart is what of a key is no secret.
func publicPart(id uuid.UUID) string { return keyPrefix + digits(id[:], idDigits) }

// newAPIKey makes the key with that id, and the hash that is stored of it.
func newAPIKey(id uuid.UUID) (key string, hash keyHash) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	key = publicPart(id) + "_" + digits(secret, proofDigits)
	return key + checksum(key), sha256.Sum256(secret)
}

// isAPIKey tells a key, however broken, from an access token.
func isAPIKey(token string) bool { return strings.HasPrefix(token, keyPrefix) }

// parseAPIKey takes a key apart. Each key has one spelling.
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

// digits writes bytes as so many digits.
func digits(raw []byte, n int) string {
	s := new(big.Int).SetBytes(raw).Text(62)
	return strings.Repeat("0", n-len(s)) + s
}

// number reads what digits wrote; false when it says more than the bytes can hold,
// or is no number: the library would take signs and underscores.
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
