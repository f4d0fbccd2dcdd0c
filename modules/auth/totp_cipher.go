package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// errUnknownKey means that a secret was encrypted with a key that is not configured any more.
var errUnknownKey = errors.New("the key that encrypted the secret is not in TOTP_KEYS")

// DevTOTPKeys returns the key that encrypts secrets of second factors where none is configured. Like
// DevKeys it is for development only, because the database contains the key.
func DevTOTPKeys(ctx context.Context, pool *postgres.Pool) (Keys, error) {
	return devKeys(ctx, pool, "dev-totp")
}

// sealSecret encrypts the secret of an account's factor with the first key. The secret is bound to
// the account: copied to the row of another account, it cannot be decrypted.
func (k Keys) sealSecret(user uuid.UUID, secret []byte) (sealed []byte, keyID string, err error) {
	if len(k.list) == 0 {
		return nil, "", errUnknownKey
	}
	first := k.list[0]
	aead, err := aeadOf(*first.secret)
	if err != nil {
		return nil, "", err
	}
	return aead.Seal(nil, nil, secret, user[:]), first.id, nil //nolint:gosec // G407: Seal makes the nonce itself
}

// openSecret decrypts the secret of an account's factor.
func (k Keys) openSecret(user uuid.UUID, sealed []byte, keyID string) ([]byte, error) {
	key, known := k.find(keyID)
	if !known {
		return nil, errUnknownKey
	}
	aead, err := aeadOf(key)
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open(nil, nil, sealed, user[:])
	if err != nil {
		return nil, fmt.Errorf("decrypt the secret of a second factor: %w", err)
	}
	return secret, nil
}

// aeadOf returns AES-256-GCM with random nonces. A configured secret is text of any length, so the
// key is derived from it (HKDF, RFC 5869).
func aeadOf(secret []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "orderflow totp secret", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
