package users

import (
	"cmp"
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) invitationRoutes(api *web.API) {
	const tag, path = "Users", "/v1/invitations"
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: path, Name: "create-invitation", Tag: tag, Role: identity.Admin, Scope: identity.NoKeys, Status: http.StatusCreated,
		Summary: "Invite a person to register", Errors: []int{http.StatusConflict},
		Doc: "Sends a token to the e-mail address, which is valid for 7 days and allows one registration with this address and the role. It ends when the administrator who created it is no longer one. " +
			"409 is `email-taken`, `already-invited` or `mail-not-configured`. 403 `registration-closed` if the server allows no registrations.",
		Codes:   []string{"already-invited", "email-taken", "mail-not-configured"},
		Example: `{"email":"grace@example.com","role":"user"}`,
		Check: web.CheckBody(func(_ context.Context, i InvitationRequest) error {
			_, _, err := newAddress(i.Email)
			return err
		}),
	}, web.Responder[*ent.Invitation, CreatedInvitation]{
		Location: func(i *ent.Invitation) string { return path + "/" + i.ID.String() },
		Body:     func(_ context.Context, i *ent.Invitation) CreatedInvitation { return renderCreated(i) },
	}, m.createInvitation)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: path, Name: "list-invitations", Tag: tag, Role: identity.Admin, Scope: identity.NoKeys,
		Summary: "List the invitations that were not accepted, newest first",
	}, m.listInvitations)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: path + "/{id}", Name: "get-invitation", Tag: tag, Role: identity.Admin, Scope: identity.NoKeys,
		Summary: "Read an invitation that was not accepted",
	}, m.getInvitation)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: path + "/{id}", Name: "delete-invitation", Tag: tag, Role: identity.Admin, Scope: identity.NoKeys,
		Summary: "Withdraw an invitation", Doc: "Its token is no longer valid. To send another message, delete the invitation and create one.",
	}, m.deleteInvitation)
}

// CreatedInvitation is the response to a new invitation. It leaves out the e-mail address, because the
// responses to requests with an Idempotency-Key are stored.
type CreatedInvitation struct {
	ID        uuid.UUID     `json:"id" format:"uuid"`
	Role      identity.Role `json:"role" enum:"user,admin"`
	CreatedBy uuid.UUID     `json:"createdBy" format:"uuid"`
	CreatedAt jsontime.Time `json:"createdAt"`
	ExpiresAt jsontime.Time `json:"expiresAt"`
}

func renderCreated(i *ent.Invitation) CreatedInvitation {
	return CreatedInvitation{
		ID: i.ID, Role: identity.Role(i.Role), CreatedBy: i.CreatedBy, CreatedAt: jsontime.At(i.CreatedAt), ExpiresAt: jsontime.At(i.ExpiresAt),
	}
}

// Invitation is the JSON form of an invitation.
type Invitation struct {
	CreatedInvitation
	Email string `json:"email"`
}

func renderInvitation(i *ent.Invitation) Invitation { return Invitation{renderCreated(i), i.Email} }

// InvitationRequest is the body of an invitation.
type InvitationRequest struct {
	Email string        `json:"email" doc:"At most 254 bytes" example:"ada@example.com"`
	Role  identity.Role `json:"role,omitempty" enum:"user,admin" default:"user"`
}

type inviteInput struct {
	Body InvitationRequest
}

func (m *Module) createInvitation(ctx context.Context, in *inviteInput, key idempotency.Key[*ent.Invitation]) (idempotency.Result[*ent.Invitation], error) {
	return m.invite(ctx, identity.MustFromContext(ctx), key, in.Body.Email, cmp.Or(in.Body.Role, identity.User))
}

func (m *Module) listInvitations(ctx context.Context, in *web.Paging) (*web.PageOf[Invitation], error) {
	return web.Keyset(ctx, *in, func(before uuid.UUID, limit int) ([]*ent.Invitation, error) {
		return m.invitations(ctx, before, limit)
	}, func(i *ent.Invitation) (uuid.UUID, Invitation) { return i.ID, renderInvitation(i) })
}

func (m *Module) getInvitation(ctx context.Context, in *idInput) (*struct{ Body Invitation }, error) {
	i, err := invitationOf(ctx, m.pool, in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Invitation }{renderInvitation(i)}, nil
}

func (m *Module) deleteInvitation(ctx context.Context, in *idInput) (*struct{}, error) {
	return nil, m.withdraw(ctx, in.ID)
}
