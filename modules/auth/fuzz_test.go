package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC A3: of all texts only those that were signed here are tokens.
func FuzzAccessToken(f *testing.F) {
	secret := strings.Repeat("0123456789", 4)
	sealed := func(text string) string {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(text))
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	keys, err := ParseKeys("now=" + secret)
	if err != nil {
		f.Fatal(err)
	}
	s := &signer{keys: keys, issuer: "orderflow", audience: "orderflow"}
	good, err := s.sign(identity.Caller{UserID: uuid.Must(uuid.NewV7()), SessionID: uuid.Must(uuid.NewV7()), Role: identity.User})
	if err != nil {
		f.Fatal(err)
	}
	parts := strings.Split(good, ".")
	for _, seed := range []string{
		good, parts[0] + "." + parts[1] + ".", "e30." + parts[1] + "." + parts[2], parts[0] + ".e30." + parts[2], "..", "a.b.c.d", "e30.e30.e30",
		"eyJhbGciOiJub25lIn0." + parts[1] + ".", good + "=", " " + good,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := plausible(text)
		if err == nil {
			_, err = jwt.ParseWithClaims(token, &claims{}, s.key)
		}
		if at := strings.LastIndexByte(text, '.'); err == nil && text[at+1:] != sealed(text[:at]) || err != nil && text == good {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// SPEC A3: claims that hold name a subject and a session in their one spelling.
func FuzzClaims(f *testing.F) {
	const id = `"0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11"`
	f.Add([]byte(`{"iss":"i","aud":["a"],"sub":` + id + `,"sid":` + id + `,"kind":"access","role":"user","iat":1,"exp":2}`))
	f.Add([]byte(`{"iss":"i","iss":"j"}`))
	f.Add([]byte(`{"exp":1e400,"iat":"1"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c claims
		if c.UnmarshalJSON(raw) != nil {
			return
		}
		c.want = &signer{issuer: "i", audience: "a"}
		if c.Validate() == nil && (uuid.MustParse(c.Subject).String() != c.Subject || uuid.MustParse(c.SessionID).String() != c.SessionID || c.Issuer != "i") {
			t.Errorf("%s holds", raw)
		}
	})
}

// SPEC A4, E2: refresh tokens and tickets have one spelling.
func FuzzSecret(f *testing.F) {
	secret, _ := newSecret()
	f.Add(secret)
	f.Add(strings.Repeat("_", 43))
	f.Add(strings.Repeat("A", 42) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		if hash, err := hashOf(text); err == nil && (len(text) != 43 || len(hash) != 32 || strings.ContainsAny(text, "=+/\r\n ")) {
			t.Errorf("%q is a secret", text)
		}
	})
}
