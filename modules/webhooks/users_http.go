package webhooks

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// userRoutes are for administrators, who see and delete the endpoints of all accounts (SPEC A7).
func (m *Module) userRoutes(api *web.API) {
	const tag, path = "Users", "/v1/users/{id}/webhooks"
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: path, Name: "list-user-webhooks", Tag: tag, Role: identity.Admin, Scope: identity.NoKeys,
		Summary: "List the webhooks of an account, newest first",
	}, m.listUserWebhooks)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: path + "/{webhookId}", Name: "delete-user-webhook", Tag: tag, Role: identity.Admin, Scope: identity.NoKeys,
		Summary: "Delete a webhook of an account", Status: http.StatusNoContent, RecentPassword: true,
		Doc: "Its deliveries are deleted as well. Pending deliveries are not sent.",
	}, m.deleteUserWebhook)
}

type userPageInput struct {
	web.Paging
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (m *Module) listUserWebhooks(ctx context.Context, in *userPageInput) (*web.PageOf[Webhook], error) {
	if err := m.accountExists(ctx, in.ID); err != nil {
		return nil, err
	}
	return web.Keyset(ctx, in.Paging, func(before uuid.UUID, limit int) ([]*ent.Webhook, error) {
		return m.list(ctx, in.ID, before, limit)
	}, func(row *ent.Webhook) (uuid.UUID, Webhook) { return row.ID, render(row) })
}

type userWebhookInput struct {
	ID        uuid.UUID `path:"id" format:"uuid"`
	WebhookID uuid.UUID `path:"webhookId" format:"uuid"`
}

func (m *Module) deleteUserWebhook(ctx context.Context, in *userWebhookInput) (*struct{}, error) {
	return nil, m.remove(ctx, in.ID, in.WebhookID)
}
