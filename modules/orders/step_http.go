package orders

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) stepRoutes(api *web.API) {
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/{id}/steps/{name}/complete", Name: "complete-order-step", Tag: tag, Role: identity.Admin, Scope: identity.OrdersSteps,
		Summary: "Complete a step that holds an order", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc:     "Records that the step lets the order continue, and releases the order. A step that is passed or skipped already is answered as it is.",
		Codes:   []string{"step-not-held"},
		Example: `{"reason":"checked by phone"}`,
	}, orderChanged, m.completeOrderStep)
}

type completeOrderStepInput struct {
	OrderInput
	Conditional
	Name string `path:"name" maxLength:"64" doc:"The name of the step"`
	Body *StepCompletionRequest
}

// StepCompletionRequest says why a step is completed.
type StepCompletionRequest struct {
	Reason *string `json:"reason,omitzero" minLength:"1" maxLength:"500"`
}

func (m *Module) completeOrderStep(ctx context.Context, in *completeOrderStepInput, key idempotency.Key[Order]) (none idempotency.Result[Order], err error) {
	seen, err := in.seen()
	if err != nil {
		return none, err
	}
	return m.CompleteStep(ctx, identity.MustFromContext(ctx), in.ID, in.Name, optional(in.Body).Reason, seen, key)
}

// TransformSchema says what a struct tag cannot: that decidedAt may be null.
func (OrderStep) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["decidedAt"].Nullable = true
	return s
}
