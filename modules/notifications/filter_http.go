package notifications

import (
	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// Narrow is embedded in the inputs of all routes that read events.
type Narrow struct {
	After   string   `query:"after" maxLength:"100" doc:"Resume after this cursor; start begins with the oldest event that is kept"`
	Types   []string `query:"types,explode" maxItems:"50" maxLength:"1000" doc:"Only these types; repeat the parameter or separate the types by commas"`
	OrderID string   `query:"orderId" format:"uuid" doc:"Only this order"`
	UserID  string   `query:"userId" format:"uuid" doc:"Administrators only: the orders of this user"`
}

func (n Narrow) asked() asked {
	return asked{after: n.After, types: n.Types, order: n.OrderID, user: n.UserID}
}

// filterParams returns new parameters for each route, because registering a route changes them.
func filterParams() []*huma.Param {
	return []*huma.Param{
		parameter("after", "Resume after this cursor; `start` begins with the oldest event that is kept", &huma.Schema{Type: "string", MaxLength: new(100)}),
		parameter("types", "Only these types; repeat it or separate by commas", &huma.Schema{
			Type: "array", Items: &huma.Schema{Type: "string", MaxLength: new(1000)}, MaxItems: new(50)}),
		parameter("orderId", "Only this order", &huma.Schema{Type: "string", Format: "uuid"}),
		parameter("userId", "Administrators only: whose orders", &huma.Schema{Type: "string", Format: "uuid"}),
	}
}

func parameter(name, doc string, schema *huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: doc, Schema: schema}
}

// filterOf parses the query of a socket or stream.
func (m *Module) filterOf(c *fiber.Ctx) (filter, error) {
	var types []string
	for _, list := range c.Context().QueryArgs().PeekMulti("types") {
		types = append(types, string(list))
	}
	return m.filter(identity.MustFromContext(c.UserContext()), asked{
		after: c.Query("after"), types: types, order: c.Query("orderId"), user: c.Query("userId"),
	})
}
