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
		Summary: "Create an API key", Status: http.StatusCreated,
		Doc: "The secret is in this answer and never again, so the answer is not kept for an Idempotency-Key: who did not get it deletes the key. " +
			"Send the secret as a bearer token wherever an access token would do. A key does what its scopes and its owner's role allow, " +
			"on its owner's rate limit. 409 `too-many-keys` beyond 25.",
	}, m.createAPIKey)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: path, Name: "list-api-keys", Tag: tag, Role: identity.User, Scope: identity.NoKeys,
		Summary: "Your API keys, newest first",
	}, m.listAPIKeys)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: path + "/{id}", Name: "get-api-key", Tag: tag, Role: identity.User, Scope: identity.NoKeys,
		Summary: "One of your API keys",
	}, m.getAPIKey)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: path + "/{id}", Name: "delete-api-key", Tag: tag, Role: identity.User, Scope: identity.NoKeys,
		Summary: "Revoke an API key", Status: http.StatusNoContent,
		Doc: "It is refused on every node within a second, and its sockets, streams, polls and exports are cut. Webhooks that it made are disabled with the reason `credential`, and what they are to be told is held.",
	}, m.deleteAPIKey)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: path + "/{id}/rotate", Name: "rotate-api-key", Tag: tag, Role: identity.User, Scope: identity.NoKeys,
		Summary: "Give an API key a new secret",
		Doc: "The secret until now stays good for a day, or for as long as `graceSeconds` says; one that an earlier rotation left is over. " +
			"Sockets that the key has open are closed and can resume. 409 `key-expired`.",
	}, m.rotateAPIKey)
}

// APIKey is a key as its owner sees it.
type APIKey struct {
	ID                  uuid.UUID        `json:"id" format:"uuid"`
	Name                string           `json:"name"`
	Prefix              string           `json:"prefix" doc:"How its secret begins, to know it by; no secret" example:"ofk_0192f0c13b6e7c7a9d620d"`
	Scopes              []identity.Scope `json:"scopes" nullable:"false"`
	CreatedAt           jsontime.Time    `json:"createdAt"`
	RotatedAt           *jsontime.Time   `json:"rotatedAt" nullable:"true" doc:"When it last got a new secret"`
	PreviousSecretUntil *jsontime.Time   `json:"previousSecretUntil" nullable:"true" doc:"How long the secret before that is still good; null when it is not"`
	LastUsedAt          *jsontime.Time   `json:"lastUsedAt" nullable:"true" doc:"Exact to the minute"`
	ExpiresAt           *jsontime.Time   `json:"expiresAt" nullable:"true" doc:"null: never"`
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

// NewAPIKey describes an API key to create.
type NewAPIKey struct {
	Name      string         `json:"name" minLength:"1" maxLength:"100" doc:"What it is for" example:"warehouse scanner"`
	Scopes    web.ScopeList  `json:"scopes" doc:"What it may do"`
	ExpiresAt *jsontime.Time `json:"expiresAt,omitempty" nullable:"true" doc:"Absent or null: never"`
}

type createKeyInput struct {
	Body NewAPIKey
}

type newKeyAnswer struct {
	Location string `header:"Location" doc:"Where the key is"`
	Body     APIKeyWithSecret
}

func (m *Module) createAPIKey(ctx context.Context, in *createKeyInput) (*newKeyAnswer, error) {
	var expires *time.Time
	if in.Body.ExpiresAt != nil {
		expires = new(in.Body.ExpiresAt.Std())
	}
	if wrong := judgeKey(in.Body.Name, expires); wrong != nil {
		return nil, fault.Invalid(wrong...)
	}
	k, secret, err := m.createKey(ctx, identity.MustFromContext(ctx), in.Body.Name, identity.ScopesOf(in.Body.Scopes...), expires)
	if err != nil {
		return nil, err
	}
	return &newKeyAnswer{"/v1/api-keys/" + k.id.String(), APIKeyWithSecret{renderKey(k), secret}}, nil
}

func judgeKey(name string, expires *time.Time) (wrong []fault.Field) {
	if strings.TrimSpace(name) == "" || strings.ContainsFunc(name, unicode.IsControl) {
		wrong = append(wrong, fault.Field{Pointer: "/name", Code: "invalid", Message: "A name has letters and no control characters."})
	}
	if expires != nil && !time.Now().Before(*expires) {
		wrong = append(wrong, fault.Field{Pointer: "/expiresAt", Code: "past", Message: "This time is past."})
	}
	return wrong
}

func (m *Module) listAPIKeys(ctx context.Context, in *web.Paging) (*web.PageOf[APIKey], error) {
	caller := identity.MustFromContext(ctx)
	return web.Keyset(ctx, *in, func(before uuid.UUID, limit int) ([]apiKey, error) {
		return m.keys(ctx, caller, before, limit)
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
	return nil, m.revokeKey(ctx, identity.MustFromContext(ctx), in.ID)
}

// APIKeyRotation says how the secret of an API key is replaced.
type APIKeyRotation struct {
	GraceSeconds *int `json:"graceSeconds,omitempty" minimum:"0" maximum:"604800" default:"86400" doc:"How long the secret until now stays good"`
}

type rotateKeyInput struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body *APIKeyRotation
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
