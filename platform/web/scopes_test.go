package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// SPEC A8: the scopes of API keys are those that routes name. A body takes those alone,
// whichever module they come from, and the document lists them.
func TestScopeList(t *testing.T) {
	t.Parallel()
	register := func(scopes []identity.Scope) (*web.API, *fiber.App) {
		app := fiber.New(web.Config())
		api := web.New(app, web.Options{Scopes: scopes})
		web.Handle(api, web.Route{Method: "POST", Path: "/v1/keys", Name: "create-key", Role: identity.Anyone, Scope: identity.NoKeys, Status: http.StatusNoContent},
			func(context.Context, *struct {
				Body struct {
					Scopes web.ScopeList `json:"scopes" doc:"The scopes of the key"`
				}
			}) (*struct{}, error) {
				return nil, nil
			})
		web.Handle(api, web.Route{Method: "GET", Path: "/v1/coupons", Name: "list-coupons", Role: identity.User, Scope: "coupons:read", ExtraScopes: []identity.Scope{identity.OrdersRead}},
			func(context.Context, *struct{}) (*struct{ Body string }, error) { return &struct{ Body string }{}, nil })
		return api, app
	}
	described, _ := register(nil)
	scopes := described.Scopes()
	if !slices.Equal(scopes, []identity.Scope{"coupons:read", identity.OrdersRead}) {
		t.Fatalf("gathered %v", scopes)
	}

	api, app := register(scopes)

	document, err := api.Document()
	if err != nil {
		t.Fatal(err)
	}
	if want := `"items":{"enum":["coupons:read","orders:read"],"type":"string"},"maxItems":2,"minItems":1`; !strings.Contains(string(document), want) {
		t.Errorf("%s is not in %s", want, document)
	}
	for list, want := range map[string]int{`["coupons:read"]`: 204, `["orders:read","coupons:read"]`: 204, `["orders:write"]`: 422, `["no-keys"]`: 422, `[]`: 422} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/keys", strings.NewReader(`{"scopes":`+list+`}`))
		req.Header.Set("Content-Type", "application/json")
		res, err := app.Test(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", list, res.StatusCode, want)
		}
	}
}

// A scope that could never be in a set is a programmer's mistake.
func TestScopesHaveAForm(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a route with the scope Coupons is registered")
		}
	}()
	web.Handle(web.New(fiber.New(web.Config()), web.Options{}), web.Route{Method: "GET", Path: "/v1/coupons", Name: "list-coupons", Role: identity.User, Scope: "Coupons"},
		func(context.Context, *struct{}) (*struct{ Body string }, error) { return &struct{ Body string }{}, nil })
}
