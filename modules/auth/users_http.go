package auth

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// userRoutes are for administrators: what they do about a stolen account (SPEC A7; ASVS 5.0 7.4.5).
func (m *Module) userRoutes(api *web.API) {
	const tag, sessions, keys = "Users", "/v1/users/{id}/sessions", "/v1/users/{id}/api-keys"
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: sessions, Name: "list-user-sessions", Tag: tag, Role: identity.Admin, Scope: identity.NoKeys,
		Summary: "List the sessions of an account, newest first", Doc: "Also of a deactivated or deleted account, as are the other routes below an account.",
	}, m.listUserSessions)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: sessions, Name: "end-user-sessions", Tag: tag, Role: identity.Admin, Scope: identity.NoKeys,
		Summary: "End all sessions of an account", Status: http.StatusNoContent, RecentPassword: true,
		Doc: "Its API keys stay valid, and the user can log in again; deactivate the account to prevent both.",
	}, m.endUserSessions)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: sessions + "/{sessionId}", Name: "end-user-session", Tag: tag, Role: identity.Admin, Scope: identity.NoKeys,
		Summary: "End a session of an account", Status: http.StatusNoContent, RecentPassword: true,
	}, m.endUserSession)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: keys, Name: "list-user-api-keys", Tag: tag, Role: identity.Admin, Scope: identity.NoKeys,
		Summary: "List the API keys of an account, newest first",
	}, m.listUserAPIKeys)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: keys + "/{keyId}", Name: "delete-user-api-key", Tag: tag, Role: identity.Admin, Scope: identity.NoKeys,
		Summary: "Revoke an API key of an account", Status: http.StatusNoContent, RecentPassword: true,
		Doc: "Webhooks that were created with the key are disabled with the reason `credential`.",
	}, m.deleteUserAPIKey)
}

type userPageInput struct {
	web.Paging
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (m *Module) listUserSessions(ctx context.Context, in *userPageInput) (*web.PageOf[Session], error) {
	if err := m.accounts.Exists(ctx, in.ID); err != nil {
		return nil, err
	}
	caller := identity.MustFromContext(ctx)
	return web.Keyset(ctx, in.Paging, func(before uuid.UUID, limit int) ([]*ent.Session, error) {
		return m.list(ctx, in.ID, before, limit)
	}, func(s *ent.Session) (uuid.UUID, Session) { return s.ID, render(s, caller) })
}

type userInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (m *Module) endUserSessions(ctx context.Context, in *userInput) (*struct{}, error) {
	if err := m.accounts.Exists(ctx, in.ID); err != nil {
		return nil, err
	}
	return nil, m.endAll(ctx, in.ID, uuid.Nil, "ended-by-administrator")
}

type userSessionInput struct {
	ID        uuid.UUID `path:"id" format:"uuid"`
	SessionID uuid.UUID `path:"sessionId" format:"uuid"`
}

func (m *Module) endUserSession(ctx context.Context, in *userSessionInput) (*struct{}, error) {
	return nil, m.end(ctx, in.ID, in.SessionID, "ended-by-administrator")
}

func (m *Module) listUserAPIKeys(ctx context.Context, in *userPageInput) (*web.PageOf[APIKey], error) {
	if err := m.accounts.Exists(ctx, in.ID); err != nil {
		return nil, err
	}
	return m.pageOfKeys(ctx, in.Paging, in.ID)
}

type userKeyInput struct {
	ID    uuid.UUID `path:"id" format:"uuid"`
	KeyID uuid.UUID `path:"keyId" format:"uuid"`
}

func (m *Module) deleteUserAPIKey(ctx context.Context, in *userKeyInput) (*struct{}, error) {
	return nil, m.revokeKey(ctx, in.ID, in.KeyID)
}
