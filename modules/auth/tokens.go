package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

const (
	accessLife = 15 * time.Minute
	leeway     = 5 * time.Second // between the clocks of two nodes
	maxToken   = 4 << 10         // bytes; ours have about 500
	accessKind = "access"
)

// claims are the claims of an access token (SPEC A3). The library checks exp and nbf if
// present; Validate checks the rest.
type claims struct {
	jwt.RegisteredClaims
	Kind      string `json:"kind"`
	SessionID string `json:"sid"`
	Role      string `json:"role"`

	want *signer // set once the header is accepted; without it no token is valid
}

// UnmarshalJSON only accepts what sign writes. The library's types accept dates as strings and
// fractions, names in any case, and the last one of duplicates, which other parsers may
// interpret differently (RFC 8725, section 2.4).
func (c *claims) UnmarshalJSON(raw []byte) error {
	var said struct {
		Issuer    string   `json:"iss"`
		Audience  []string `json:"aud"`
		Subject   string   `json:"sub"`
		IssuedAt  int64    `json:"iat"`
		NotBefore int64    `json:"nbf"`
		ExpiresAt int64    `json:"exp"`
		Kind      string   `json:"kind"`
		SessionID string   `json:"sid"`
		Role      string   `json:"role"`
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return err
	}
	*c = claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: said.Issuer, Audience: said.Audience, Subject: said.Subject,
			IssuedAt: date(said.IssuedAt), NotBefore: date(said.NotBefore), ExpiresAt: date(said.ExpiresAt),
		},
		Kind: said.Kind, SessionID: said.SessionID, Role: said.Role,
	}
	return nil
}

// date returns nil for zero, which means absent.
func date(seconds int64) *jwt.NumericDate {
	if seconds == 0 {
		return nil
	}
	return jwt.NewNumericDate(time.Unix(seconds, 0))
}

// Validate implements jwt.ClaimsValidator.
func (c *claims) Validate() error {
	switch {
	case c.want == nil:
		return errors.New("nothing to compare with")
	case c.Issuer != c.want.issuer:
		return errors.New("another issuer")
	case len(c.Audience) != 1 || c.Audience[0] != c.want.audience:
		return errors.New("another audience")
	case c.Kind != accessKind:
		return errors.New("another kind of token")
	case c.Role != string(identity.User) && c.Role != string(identity.Admin):
		return errors.New("no such role")
	case !isID(c.Subject) || !isID(c.SessionID):
		return errors.New("no subject or no session")
	case c.IssuedAt == nil || c.ExpiresAt == nil:
		return errors.New("no times")
	case time.Until(c.IssuedAt.Time) > leeway:
		return errors.New("issued in the future")
	case !c.ExpiresAt.After(c.IssuedAt.Time) || c.ExpiresAt.Sub(c.IssuedAt.Time) > accessLife:
		return errors.New("lives longer than any token of ours")
	}
	return nil
}

// isID accepts a UUID in its usual form only; uuid.Parse takes four.
func isID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id != uuid.Nil && id.String() == s
}

// signer signs tokens and selects the key to verify them.
type signer struct {
	keys             Keys
	issuer, audience string
}

func (s *signer) sign(c identity.Caller) (string, error) {
	at := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, &claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    s.issuer,
			Audience:  jwt.ClaimStrings{s.audience},
			Subject:   c.UserID.String(),
			IssuedAt:  jwt.NewNumericDate(at),
			ExpiresAt: jwt.NewNumericDate(at.Add(accessLife)),
		},
		Kind:      accessKind,
		SessionID: c.SessionID.String(),
		Role:      string(c.Role),
	})
	first := s.keys.list[0]
	token.Header["kid"] = first.id
	return token.SignedString(*first.secret)
}

// key validates the header and returns the secret, before the signature is verified. The
// algorithm is fixed, and a header with any other member (crit, jku, jwk, x5u) is rejected, so
// that a token cannot choose how it is verified.
func (s *signer) key(t *jwt.Token) (any, error) {
	for name := range t.Header {
		if name != "alg" && name != "kid" && name != "typ" {
			return nil, errors.New("unexpected header parameter")
		}
	}
	if t.Method != jwt.SigningMethodHS256 {
		return nil, errors.New("unexpected algorithm")
	}
	if typ, said := t.Header["typ"]; said && typ != "JWT" {
		return nil, errors.New("unexpected type")
	}
	kid, _ := t.Header["kid"].(string)
	secret, known := s.keys.find(kid)
	if !known {
		return nil, errors.New("unknown key")
	}
	c, ours := t.Claims.(*claims)
	if !ours {
		return nil, fmt.Errorf("claims of type %T", t.Claims)
	}
	c.want = s
	return secret, nil
}

// plausible rejects what cannot be a token of this product before it is parsed. The library
// ignores trailing bits of base64 and accepts duplicate header parameters; rejecting both gives
// each token one spelling and one interpretation.
func plausible(token string) (string, error) {
	if len(token) > maxToken {
		return "", errors.New("too long")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("not three parts")
	}
	for i, part := range parts {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return "", errors.New("not base64url")
		}
		if i == 0 && !jsontext.Value(raw).IsValid() { // RFC 7493 forbids duplicate names
			return "", errors.New("not a header")
		}
	}
	return token, nil
}
