package auth

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const usualGrace = 24 * time.Hour

func (m *Module) keyRoutes(api *web.API) {
	const tag, path = "API keys", "/v1/api-keys"
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: path, Name: "create-api-key", Tag: tag, Role: identity.User, Scope: identity.NoKeys,
		Summary: "Create an API key", Status: http.StatusCreated, RecentPassword: true,
		Doc: "The secret is only in this response. The response is not stored, so the route has no Idempotency-Key: if the response is lost, delete the key and create another one. " +
			"Send the secret as a bearer token in place of an access token. A key may do what both its scopes and its owner's role allow, " +
			"and its requests count against the owner's rate limit. 409 `too-many-keys` if you have 25 keys.",
		Codes:   []string{"too-many-keys"},
		Example: `{"name":"warehouse scanner","scopes":["orders:read","events:read"]}`,
		Check: web.CheckBody(func(_ context.Context, k APIKeyRequest) error {
			_, err := m.validateNewKey(k)
			return err
		}),
	}, m.createAPIKey)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: path, Name: "list-api-keys", Tag: tag, Role: identity.User, Scope: identity.NoKeys,
		Summary: "List your API keys, newest first",
	}, m.listAPIKeys)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: path + "/{id}", Name: "get-api-key", Tag: tag, Role: identity.User, Scope: identity.NoKeys,
		Summary: "Read one of your API keys",
	}, m.getAPIKey)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: path + "/{id}", Name: "delete-api-key", Tag: tag, Role: identity.User, Scope: identity.NoKeys,
		Summary: "Revoke an API key", Status: http.StatusNoContent,
		Doc: "Every node rejects the key within a second and closes its sockets, streams, polls and exports. Webhooks that were created with the key are disabled with the reason `credential`, and their deliveries are held.",
	}, m.deleteAPIKey)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: path + "/{id}/rotate", Name: "rotate-api-key", Tag: tag, Role: identity.User, Scope: identity.NoKeys,
		Summary: "Rotate the secret of an API key", RecentPassword: true,
		Doc: "The previous secret stays valid for a day, or for `graceSeconds`; the one before it becomes invalid. " +
			"Open sockets of the key are closed and can be resumed. 409 `key-expired`.",
		Codes:   []string{"key-expired"},
		Example: `{"graceSeconds":3600}`,
	}, m.rotateAPIKey)
}

// APIKey is a key as its owner sees it.
type APIKey struct {
	ID                  uuid.UUID        `json:"id" format:"uuid"`
	Name                string           `json:"name"`
	Prefix              string           `json:"prefix" doc:"The beginning of the secret, which identifies the key and is not confidential" example:"ofk_0192f0c13b6e7c7a9d620d"`
	Scopes              []identity.Scope `json:"scopes" nullable:"false"`
	CreatedAt           jsontime.Time    `json:"createdAt"`
	RotatedAt           *jsontime.Time   `json:"rotatedAt" nullable:"true" doc:"The time of the last rotation"`
	PreviousSecretUntil *jsontime.Time   `json:"previousSecretUntil" nullable:"true" doc:"Until when the previous secret is valid; null if it is not"`
	LastUsedAt          *jsontime.Time   `json:"lastUsedAt" nullable:"true" doc:"With a precision of one minute"`
	ExpiresAt           *jsontime.Time   `json:"expiresAt" nullable:"true" doc:"null if the key never expires"`
}

// APIKeyWithSecret is a key with its secret, which is shown once.
type APIKeyWithSecret struct {
	APIKey
	Secret string `json:"secret" doc:"Shown once; keep it safe"`
}

func renderKey(k apiKey) APIKey {
	return APIKey{
		ID: k.id, Name: k.name, Prefix: publicPart(k.id), Scopes: k.scopes, CreatedAt: jsontime.At(k.createdAt),
		RotatedAt: jsontime.AtOrNil(k.rotatedAt), PreviousSecretUntil: jsontime.AtOrNil(k.previousUntil),
		LastUsedAt: jsontime.AtOrNil(k.lastUsedAt), ExpiresAt: jsontime.AtOrNil(k.expiresAt),
	}
}

// APIKeyRequest describes an API key to create.
type APIKeyRequest struct {
	Name      string         `json:"name" minLength:"1" maxLength:"100" doc:"The purpose of the key" example:"warehouse scanner"`
	Scopes    web.ScopeList  `json:"scopes" doc:"The scopes of the key"`
	ExpiresAt *jsontime.Time `json:"expiresAt,omitempty" nullable:"true" doc:"If absent or null, the key never expires, or at the end of the server's API_KEY_MAX_AGE, which no key may exceed"`
}

type createKeyInput struct {
	Body APIKeyRequest
}

type newKeyAnswer struct {
	Location string `header:"Location" doc:"The URL of the key"`
	Body     APIKeyWithSecret
}

func (m *Module) createAPIKey(ctx context.Context, in *createKeyInput) (*newKeyAnswer, error) {
	expires, err := m.validateNewKey(in.Body)
	if err != nil {
		return nil, err
	}
	k, secret, err := m.createKey(ctx, identity.MustFromContext(ctx), in.Body.Name, identity.ScopesOf(in.Body.Scopes...), expires)
	if err != nil {
		return nil, err
	}
	return &newKeyAnswer{"/v1/api-keys/" + k.id.String(), APIKeyWithSecret{renderKey(k), secret}}, nil
}

// validateNewKey returns the time at which a new key expires, or all faults of the request.
func (m *Module) validateNewKey(k APIKeyRequest) (*time.Time, error) {
	var expires *time.Time
	if k.ExpiresAt != nil {
		expires = new(k.ExpiresAt.Std())
	}
	wrong := validateKey(k.Name, expires)
	expires, late := m.limitExpiry(expires)
	if wrong = append(wrong, late...); wrong != nil {
		return nil, fault.Invalid(wrong...)
	}
	return expires, nil
}

func validateKey(name string, expires *time.Time) (wrong []fault.Field) {
	if strings.TrimSpace(name) == "" || strings.ContainsFunc(name, unicode.IsControl) {
		wrong = append(wrong, fault.Field{Pointer: "/name", Code: "invalid", Message: "must contain letters and no control characters"})
	}
	if expires != nil && !time.Now().Before(*expires) {
		wrong = append(wrong, fault.Field{Pointer: "/expiresAt", Code: "past", Message: "must be in the future"})
	}
	return wrong
}

// limitExpiry applies the maximum age of keys to a new one.
func (m *Module) limitExpiry(expires *time.Time) (*time.Time, []fault.Field) {
	if m.keyMaxAge == 0 {
		return expires, nil
	}
	last := time.Now().Add(m.keyMaxAge)
	switch {
	case expires == nil:
		return &last, nil
	case expires.After(last):
		return expires, []fault.Field{{Pointer: "/expiresAt", Code: "too-late", Message: "must be at most " + m.keyMaxAge.String() + " from now (API_KEY_MAX_AGE)"}}
	}
	return expires, nil
}

func (m *Module) listAPIKeys(ctx context.Context, in *web.Paging) (*web.PageOf[APIKey], error) {
	return m.pageOfKeys(ctx, *in, identity.MustFromContext(ctx).UserID)
}

func (m *Module) pageOfKeys(ctx context.Context, p web.Paging, userID uuid.UUID) (*web.PageOf[APIKey], error) {
	return web.Keyset(ctx, p, func(before uuid.UUID, limit int) ([]apiKey, error) {
		return m.keys(ctx, userID, before, limit)
	}, func(k apiKey) (uuid.UUID, APIKey) { return k.id, renderKey(k) })
}

type keyInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (m *Module) getAPIKey(ctx context.Context, in *keyInput) (*struct{ Body APIKey }, error) {
	k, err := m.key(ctx, identity.MustFromContext(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body APIKey }{renderKey(k)}, nil
}

func (m *Module) deleteAPIKey(ctx context.Context, in *keyInput) (*struct{}, error) {
	return nil, m.revokeKey(ctx, identity.MustFromContext(ctx).UserID, in.ID)
}

// APIKeyRotationRequest says how the secret of an API key is replaced.
type APIKeyRotationRequest struct {
	GraceSeconds *int `json:"graceSeconds,omitempty" minimum:"0" maximum:"604800" default:"86400" doc:"How long the previous secret stays valid"`
}

type rotateKeyInput struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body *APIKeyRotationRequest
}

func (m *Module) rotateAPIKey(ctx context.Context, in *rotateKeyInput) (*struct{ Body APIKeyWithSecret }, error) {
	grace := usualGrace
	if in.Body != nil && in.Body.GraceSeconds != nil {
		grace = time.Duration(*in.Body.GraceSeconds) * time.Second
	}
	k, secret, err := m.rotateKey(ctx, identity.MustFromContext(ctx), in.ID, grace)
	if err != nil {
		return nil, err
	}
	return &struct{ Body APIKeyWithSecret }{APIKeyWithSecret{renderKey(k), secret}}, nil
}
