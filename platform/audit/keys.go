package audit

import (
	"errors"
	"strings"
)

// Keys are the keys of the chain. The zero value has none: blocks are hashed without a key.
type Keys struct{ list []key }

type key struct {
	id     string
	secret []byte
}

var errKeys = errors.New("the keys of the audit trail must look like 2026-11=<secret>,2026-05=<older secret>")

// ParseKeys reads keys in the form id=secret, separated by commas. The first one signs; all of them
// verify. The error does not contain the text.
func ParseKeys(text string) (Keys, error) {
	var keys Keys
	if text == "" {
		return keys, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		id, secret, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || id == "" || secret == "" {
			return Keys{}, errKeys
		}
		keys.list = append(keys.list, key{id, []byte(secret)})
	}
	return keys, nil
}

// current returns the key that signs.
func (k Keys) current() key {
	if len(k.list) == 0 {
		return key{}
	}
	return k.list[0]
}

// find returns the secret of a key; known is false if it is not configured.
func (k Keys) find(id string) (secret []byte, known bool) {
	if id == "" {
		return nil, true
	}
	for _, one := range k.list {
		if one.id == id {
			return one.secret, true
		}
	}
	return nil, false
}

// Secret returns the key that signs, for digests of values that must not be guessed by someone who
// reads the database. It is nil without keys.
func (k Keys) Secret() []byte { return k.current().secret }
