package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const minSecret = 32 // bytes; RFC 7518, section 3.2: as long as the hash

// Key signs tokens under a name. The secret sits behind a pointer because fmt
// prints unexported fields, and does not follow pointers that are nested.
type Key struct {
	id     string
	secret *[]byte
}

// Keys are the keys for signing tokens. The first one signs, all of them verify. To rotate keys
// on many nodes, add the new key at the end, then move it to the front, and remove the old one
// after the lifetime of a token. Keys print as ***.
type Keys struct{ list []Key }

var kidForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ParseKeys parses "kid=secret,kid2=secret2". Secrets have at least 32 bytes and no comma. Its
// errors give the index of an entry and quote nothing, because a malformed entry may be a
// secret.
func ParseKeys(s string) (Keys, error) {
	var keys Keys
	var errs []error
	seen := map[string]bool{}
	for i, entry := range strings.Split(s, ",") {
		kid, secret, found := strings.Cut(strings.TrimSpace(entry), "=")
		switch {
		case !found:
			errs = append(errs, fmt.Errorf("key %d is not of the form kid=secret", i+1))
		case !kidForm.MatchString(kid):
			errs = append(errs, fmt.Errorf("key %d: a kid is 1 to 64 of A-Z a-z 0-9 . _ -", i+1))
		case len(secret) < minSecret:
			errs = append(errs, fmt.Errorf("key %d: its secret has %d bytes and needs %d", i+1, len(secret), minSecret))
		case seen[kid]:
			errs = append(errs, fmt.Errorf("key %d has the kid of an earlier one", i+1))
		default:
			keys.list = append(keys.list, newKey(kid, []byte(secret)))
		}
		seen[kid] = true
	}
	if err := errors.Join(errs...); err != nil {
		return Keys{}, err
	}
	return keys, nil
}

// DevKeys returns a key that is generated once per database and shared by all of its nodes. It
// is for development only, because everyone who can read the database can sign tokens.
func DevKeys(ctx context.Context, pool *postgres.Pool) (Keys, error) {
	return devKeys(ctx, pool, "dev")
}

func devKeys(ctx context.Context, pool *postgres.Pool, kid string) (Keys, error) {
	fresh := make([]byte, minSecret)
	_, _ = rand.Read(fresh) // never fails
	_, err := pool.Exec(ctx, `
		insert into dev_signing_keys (kid, secret) values ($1, $2) on conflict (kid) do nothing`, kid, fresh)
	if err != nil {
		return Keys{}, fmt.Errorf("make the key %s: %w", kid, err)
	}

	var secret []byte
	err = pool.QueryRow(ctx, "select secret from dev_signing_keys where kid = $1", kid).Scan(&secret)
	if err != nil {
		return Keys{}, fmt.Errorf("read the key %s: %w", kid, err)
	}
	return Keys{list: []Key{newKey(kid, secret)}}, nil
}

func newKey(kid string, secret []byte) Key { return Key{id: kid, secret: &secret} }

func (k Keys) find(kid string) (secret []byte, ok bool) {
	for _, key := range k.list {
		if key.id == kid {
			return *key.secret, true
		}
	}
	return nil, false
}

// String hides the keys from logs.
func (Keys) String() string { return "***" }

// GoString hides the keys from %#v.
func (Keys) GoString() string { return "***" }
