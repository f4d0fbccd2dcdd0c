package auth

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"strings"
	"testing"

	"github.com/google/uuid"
)

const secretNow, secretBefore = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"

type fields map[string]any

func (f fields) with(pairs ...any) fields {
	f = maps.Clone(f)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(f, pairs[i].(string))
		} else {
			f[pairs[i].(string)] = pairs[i+1]
		}
	}
	return f
}

func segment(v any) string {
	raw, ok := v.(string)
	if !ok {
		bytes, _ := json.Marshal(v)
		raw = string(bytes)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(raw))
}

// forge signs anything with any key; no library that could be helpful is involved.
func forge(header, payload any, secret string, size func() hash.Hash) string {
	text := segment(header) + "." + segment(payload)
	return text + "." + base64.RawURLEncoding.EncodeToString(macOf(text, secret, size))
}

func macOf(text, secret string, size func() hash.Hash) []byte {
	mac := hmac.New(size, []byte(secret))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func payloadOf(t *testing.T, token string) fields {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var f fields
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func sidOf(t *testing.T, token string) uuid.UUID {
	t.Helper()
	return uuid.MustParse(payloadOf(t, token)["sid"].(string))
}

// SPEC A3: all claims there, nothing more.
func TestAccessToken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token := b.logsIn().access

	said := payloadOf(t, token)
	for _, name := range []string{"iss", "aud", "sub", "sid", "role", "iat", "exp", "kind"} {
		if said[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if len(said) != 8 || said["exp"].(float64)-said["iat"].(float64) != 900 {
		t.Errorf("it says %v", said)
	}
	if got := b.who(token); got.status != 200 || got.body != `"user"` {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func mustJSON(v any) string {
	raw, _ := json.Marshal(v)
	return string(raw)
}

// respelled is a character whose leading four bits, all that the last one of a
// signature carries, are the same.
func respelled(last byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, last)|1])
}

// SPEC A3, F7: keys are read strictly and never shown.
func TestParseKeys(t *testing.T) {
	t.Parallel()
	const long = "0123456789abcdef0123456789abcdef"
	for text, good := range map[string]bool{
		"a=" + long:                             true,
		"a=" + long + "==, b.2_-=" + long + "x": true,
		"":                                      false,
		"a=" + long[1:]:                         false,
		long:                                    false,
		"=" + long:                              false,
		"a b=" + long:                           false,
		"a=" + long + ",":                       false,
		"a=" + long + ",a=" + long + "x":        false,
		strings.Repeat("k", 65) + "=" + long:    false,
		"a=" + long + ",b=short":                false,
	} {
		keys, err := ParseKeys(text)
		if (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && (strings.Contains(err.Error(), long[1:]) || strings.Contains(err.Error(), "short") || len(keys.list) > 0) {
			t.Errorf("%q: %v, %d keys", text, err, len(keys.list))
		}
	}

	keys, err := ParseKeys("a=" + long)
	if err != nil {
		t.Fatal(err)
	}
	hidden := struct {
		Keys Keys
		deep Keys
	}{keys, keys}
	shown := fmt.Sprintf("%v %+v %#v %s %v %+v %s", keys, keys, keys, keys, hidden, &hidden, mustJSON(hidden))
	if strings.Contains(shown, long) || strings.Contains(shown, "48 49 50") {
		t.Error(shown)
	}
}

// All nodes on one database sign with one key.
func TestDevKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, err := DevKeys(b.ctx, b.pool)
	if err != nil {
		t.Fatal(err)
	}
	second, err := DevKeys(b.ctx, b.pool)
	if err != nil {
		t.Fatal(err)
	}
	if a, c := *first.list[0].secret, *second.list[0].secret; len(a) != 32 || !bytes.Equal(a, c) {
		t.Error("two nodes, two keys")
	}
}
