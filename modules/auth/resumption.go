package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// A resumption token consists of the id of a session or API key and a MAC of it and of the ticket.
const (
	resumptionUse    = "orderflow stream resumption v1"
	resumptionMACLen = 16 // bytes of an HMAC-SHA-256, as RFC 2104 section 5 allows
	resumptionLen    = len(uuid.UUID{}) + resumptionMACLen
)

// ResumptionToken returns the token with which the event stream that was opened with a ticket can be
// opened again with ResumeTicket, after the ticket is used up. It is sent in the stream, never in a
// URL, so a URL that leaked remains useless (SPEC E20). It has 43 characters of base64url.
func (m *Module) ResumptionToken(ticket string, c identity.Caller) string {
	credential := c.Credential()
	return base64.RawURLEncoding.EncodeToString(append(credential[:], resumptionMACOf(*m.signer.keys.list[0].secret, ticket, credential)...))
}

// ResumeTicket returns the caller of a used ticket, with the current role. The token is valid on all
// nodes, as often as it is needed, until the session or API key ends or the signing key is removed.
// Then, and for a token of another ticket, it returns the 401 "invalid-ticket".
func (m *Module) ResumeTicket(ctx context.Context, ticket, token string) (identity.Caller, error) {
	from := clientaddr.From(ctx)
	if err := m.failedLookups.refuse(from, time.Now()); err != nil {
		return identity.Caller{}, err
	}
	credential, ok := m.verifyResumption(ticket, token)
	if !ok {
		m.failedLookups.add(from, time.Now())
		return identity.Caller{}, invalidTicket()
	}
	caller, err := m.CurrentCaller(ctx, credential)
	if fault.Is(err, "invalid-token") {
		return identity.Caller{}, invalidTicket()
	}
	return caller, err
}

func (m *Module) verifyResumption(ticket, token string) (credential uuid.UUID, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != resumptionLen {
		return uuid.Nil, false
	}
	copy(credential[:], raw)
	for _, key := range m.signer.keys.list {
		if hmac.Equal(raw[len(credential):], resumptionMACOf(*key.secret, ticket, credential)) {
			return credential, true
		}
	}
	return uuid.Nil, false
}

// resumptionMACOf authenticates the pair with a key that no other use of the secret has. The id has a fixed
// length, so different pairs are different messages.
func resumptionMACOf(secret []byte, ticket string, credential uuid.UUID) []byte {
	use := hmac.New(sha256.New, secret)
	_, _ = use.Write([]byte(resumptionUse)) // never fails
	mac := hmac.New(sha256.New, use.Sum(nil))
	_, _ = mac.Write(credential[:])
	_, _ = mac.Write([]byte(ticket))
	return mac.Sum(nil)[:resumptionMACLen]
}
