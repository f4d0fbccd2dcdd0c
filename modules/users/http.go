package users

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// User is the JSON form of an account.
type User struct {
	ID        uuid.UUID     `json:"id" format:"uuid"`
	Email     string        `json:"email"`
	Name      string        `json:"name" doc:"Empty if no name was given"`
	Role      identity.Role `json:"role" enum:"user,admin"`
	Active    bool          `json:"active" doc:"An inactive account cannot log in"`
	Verified  bool          `json:"emailVerified" doc:"False while the account must verify its e-mail address; then it may only read itself, log out, change its password and verify the address"`
	CreatedAt jsontime.Time `json:"createdAt"`
	UpdatedAt jsontime.Time `json:"updatedAt"`
}

func render(u *ent.User) User {
	return User{
		ID: u.ID, Email: u.Email, Name: u.Name, Role: identity.Role(u.Role), Active: u.Active, Verified: u.EmailVerifiedAt != nil,
		CreatedAt: jsontime.At(u.CreatedAt), UpdatedAt: jsontime.At(u.UpdatedAt),
	}
}

type userAnswer struct{ Body User }

func answer(u *ent.User, err error) (*userAnswer, error) {
	if err != nil {
		return nil, err
	}
	return &userAnswer{Body: render(u)}, nil
}

// Routes registers the module's part of the API.
func (m *Module) Routes(api *web.API) {
	api.NameEnum("Role", string(identity.User), string(identity.Admin))
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/register", Name: "register", Tag: "Accounts",
		Summary: "Register an account", Role: identity.Anyone, Scope: identity.NoKeys, Status: http.StatusCreated, Errors: []int{http.StatusForbidden},
		Doc: "The password must have 8 to 72 bytes and must not be a common one. 409 `email-taken` if an account has the e-mail address, regardless of case. " +
			"429 `too-many-registrations` if the limit of registrations for a network address (`REGISTRATION_RATE_LIMIT`) is reached, 503 `busy` if too many logins are in progress. " +
			"403 `registration-closed` if the server allows no registrations, or only with an invitation. 422 `invalid-invitation` at `/invitation`. " +
			"If the server requires verified addresses, a message with a code is sent to the address, and the account may do little until the code is confirmed; " +
			"429 `too-many-messages` if too many were sent to the address. An account whose address was not verified does not occupy it: another registration replaces it.",
		Codes:   []string{"registration-closed", "email-taken", "invalid-invitation", "too-many-registrations"},
		Example: `{"email":"ada@example.com","password":"an otter in a teapot","name":"Ada"}`,
		Check: web.CheckBody(func(_ context.Context, n RegistrationRequest) error {
			_, err := draftOf(n.Email, n.Password, n.Name, identity.User)
			return err
		}),
	}, m.register)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/users/me", Name: "get-me", Tag: "Accounts",
		Summary: "Read your account", Role: identity.User, Scope: identity.AccountRead, AllowRestricted: true, Errors: []int{http.StatusNotFound},
	}, m.getMe)
	web.Handle(api, web.Route{
		Method: http.MethodPatch, Path: "/v1/users/me", Name: "update-me", Tag: "Accounts",
		Summary: "Change your name", Role: identity.User, Scope: identity.NoKeys, Errors: []int{http.StatusNotFound},
		Example: `{"name":"Ada Lovelace"}`,
		Check:   web.CheckBody(func(_ context.Context, p ProfileUpdate) error { return change{name: p.Name}.validate() }),
	}, m.updateMe)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/users", Name: "list-users", Tag: "Users",
		Summary: "List accounts, newest first", Role: identity.Admin, Scope: identity.NoKeys,
	}, m.listUsers)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/users/{id}", Name: "get-user", Tag: "Users",
		Summary: "Read an account", Role: identity.Admin, Scope: identity.NoKeys,
	}, m.getUser)
	web.Handle(api, web.Route{
		Method: http.MethodPatch, Path: "/v1/users/{id}", Name: "update-user", Tag: "Users",
		Summary: "Change an account's role, state or name", Role: identity.Admin, Scope: identity.NoKeys,
		Doc:     "A new role takes effect with the next request of the account; deactivating an account ends its sessions, revokes its API keys and disables its webhooks, and activating it again does not bring them back. Webhooks for the orders of others are disabled when an administrator becomes a user. 409 `last-admin` if no active administrator would be left.",
		Codes:   []string{"last-admin"},
		Example: `{"role":"admin"}`,
		Check:   web.CheckBody(func(_ context.Context, u UserUpdate) error { return change{name: u.Name}.validate() }),
	}, m.updateUser)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: "/v1/users/{id}", Name: "delete-user", Tag: "Users",
		Summary: "Delete an account", Role: identity.Admin, Scope: identity.NoKeys, Errors: []int{http.StatusConflict},
		Doc:   "Ends the account's sessions, API keys and webhooks, and makes its e-mail address available again; its orders are kept. 409 `last-admin` if no active administrator would be left.",
		Codes: []string{"last-admin"},
	}, m.deleteUser)
	m.recoveryRoutes(api)
	m.invitationRoutes(api)
}

// RegistrationRequest is the body of a registration.
type RegistrationRequest struct {
	Email    string `json:"email" doc:"At most 254 bytes" example:"ada@example.com"`
	Password string `json:"password" doc:"8 to 72 bytes in UTF-8" example:"an otter in a teapot"`
	Name     string `json:"name,omitempty" doc:"At most 200 characters" example:"Ada"`

	Invitation string `json:"invitation,omitempty" maxLength:"100" doc:"The token of an invitation to this e-mail address. The account gets the role of the invitation, and the address counts as verified"`
}

type registerInput struct {
	Body RegistrationRequest
}

type registerAnswer struct {
	Location string `header:"Location"`
	Body     User
}

func (m *Module) register(ctx context.Context, in *registerInput) (*registerAnswer, error) {
	u, err := m.createAccount(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	return &registerAnswer{Location: "/v1/users/me", Body: render(u)}, nil
}

func (m *Module) getMe(ctx context.Context, _ *struct{}) (*userAnswer, error) {
	return answer(m.live(ctx, identity.MustFromContext(ctx).UserID))
}

// ProfileUpdate is a merge patch of the caller's own account.
type ProfileUpdate struct {
	Name *string `json:"name,omitempty" doc:"At most 200 characters"`
}

type updateMeInput struct {
	Body ProfileUpdate
}

func (m *Module) updateMe(ctx context.Context, in *updateMeInput) (*userAnswer, error) {
	return answer(m.alter(ctx, identity.MustFromContext(ctx).UserID, change{name: in.Body.Name}))
}

type idInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (m *Module) getUser(ctx context.Context, in *idInput) (*userAnswer, error) {
	return answer(m.live(ctx, in.ID))
}

// UserUpdate is a merge patch of an account, by an administrator.
type UserUpdate struct {
	Name   *string        `json:"name,omitempty" doc:"At most 200 characters"`
	Role   *identity.Role `json:"role,omitempty" enum:"user,admin"`
	Active *bool          `json:"active,omitempty"`
}

type updateInput struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body UserUpdate
}

func (m *Module) updateUser(ctx context.Context, in *updateInput) (*userAnswer, error) {
	return answer(m.alter(ctx, in.ID, change{name: in.Body.Name, role: in.Body.Role, active: in.Body.Active}))
}

func (m *Module) deleteUser(ctx context.Context, in *idInput) (*struct{}, error) {
	_, err := m.alter(ctx, in.ID, change{gone: true})
	return nil, err
}

type listInput struct {
	web.Paging
	Role   string `query:"role" enum:"user,admin"`
	Active string `query:"active" enum:"true,false"`
	Q      string `query:"q" minLength:"1" maxLength:"254" doc:"The beginning of the e-mail address, case-insensitive"`
}

func (m *Module) listUsers(ctx context.Context, in *listInput) (*web.PageOf[User], error) {
	f := filter{role: in.Role, emailPrefix: in.Q}
	if in.Active != "" {
		f.active = new(in.Active == "true")
	}
	return web.Keyset(ctx, in.Paging, func(before uuid.UUID, limit int) ([]*ent.User, error) {
		return m.list(ctx, f, before, limit)
	}, func(u *ent.User) (uuid.UUID, User) { return u.ID, render(u) })
}
