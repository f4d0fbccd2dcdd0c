package web

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
)

type line struct {
	SKU      string `json:"sku" minLength:"1" maxLength:"8" pattern:"^[A-Z0-9-]+$"`
	Quantity int64  `json:"quantity" minimum:"1" maximum:"1000000"`
}

type basket struct {
	Items    []line            `json:"items" minItems:"1" maxItems:"3"`
	Note     string            `json:"note,omitempty" maxLength:"20"`
	Ref      *string           `json:"ref,omitempty"`
	Cleared  *string           `json:"cleared" required:"false"`
	Mode     string            `json:"mode,omitempty" enum:"fail,hold"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Free     any               `json:"free,omitempty"`
	Tags     []string          `json:"tags,omitempty" uniqueItems:"true"`
	Owner    *uuid.UUID        `json:"owner,omitempty" format:"uuid"`
	Small    int32             `json:"small,omitempty"`
	Big      int64             `json:"big,omitempty"`
	Password string            `json:"password,omitempty"`
}

type idInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type listInput struct {
	Paging
	Status []string       `query:"status,explode" enum:"PENDING,CONFIRMED"`
	From   jsontime.Param `query:"createdFrom"`
	Q      string         `query:"q"`
	Match  string         `header:"If-Match"`
	Key    string         `header:"Idempotency-Key" minLength:"1" maxLength:"5"`
}

type bundle struct {
	app *fiber.App
	api *API
	log *strings.Builder
}

// setup is an app with every kind of route. Who asks is in the X-Role header.
func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{log: &strings.Builder{}}
	log := slog.New(slog.NewJSONHandler(b.log, nil))
	b.app = fiber.New(Config(Options{Log: log, Origins: shops}))
	b.app.Use(Recover(log), TrustTraces(true), RequestID(), CORS(shops), Access(log, nil, nil), Headers(), Preflight(b.app, shops), ClientAddress(nil), JSONOnly(), Deadline(testwait.Limit), asRole)
	b.api = New(b.app, Options{Title: "Test", Log: log})

	Handle(b.api, Route{Method: "POST", Path: "/v1/baskets", Name: "place", Role: identity.User, Status: 201},
		func(_ context.Context, in *struct{ Body basket }) (*struct{ Body basket }, error) {
			return &struct{ Body basket }{in.Body}, nil
		})
	Handle(b.api, Route{Method: "GET", Path: "/v1/baskets", Name: "list", Role: identity.Anyone},
		func(ctx context.Context, in *listInput) (*PageOf[string], error) {
			return Paged(ctx, append([]string{jsontime.Time(in.From).String()}, in.Status...), EncodeCursor("x")), nil
		})
	Handle(b.api, Route{Method: "GET", Path: "/v1/empty", Name: "empty", Role: identity.Anyone},
		func(ctx context.Context, _ *struct{}) (*PageOf[string], error) {
			return Paged[string](ctx, nil, ""), nil
		})
	Handle(b.api, Route{Method: "GET", Path: "/v1/baskets/{id}", Name: "read", Role: identity.Admin},
		func(_ context.Context, in *idInput) (*struct{ Body Rendered[line] }, error) {
			return &struct{ Body Rendered[line] }{RenderedJSON[line]([]byte(`{ "sku" : "` + in.ID.String() + `"}`))}, nil
		})
	Handle(b.api, Route{Method: "GET", Path: "/v1/whoami", Name: "whoami", Role: identity.Anyone},
		func(ctx context.Context, _ *struct{}) (*struct{ Body line }, error) {
			caller, _ := identity.FromContext(ctx)
			return &struct{ Body line }{line{SKU: string(caller.Role)}}, nil
		})
	Handle(b.api, Route{Method: "GET", Path: "/v1/profile", Name: "profile", Role: identity.User, AllowRestricted: true},
		func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
	vault := Route{Method: "GET", Path: "/v1/vault", Name: "vault", Role: identity.User, RecentPassword: true}
	Handle(b.api, vault, func(ctx context.Context, _ *struct{}) (*struct{ Body line }, error) {
		return &struct{ Body line }{line{SKU: identity.MustFromContext(ctx).PasswordAt.Format(time.RFC3339)}}, nil
	})
	vault.Path, vault.Name = "/v1/vault/{id}", "vault-part"
	vault.WithoutPassword = func(c identity.Caller, param func(string) string) bool { return param("id") == c.UserID.String() }
	Handle(b.api, vault, func(context.Context, *idInput) (*struct{}, error) { return nil, nil })
	Handle(b.api, Route{Method: "DELETE", Path: "/v1/baskets/{id}", Name: "delete", Role: identity.Admin},
		func(context.Context, *idInput) (*struct{}, error) { return nil, nil })
	Handle(b.api, Route{Method: "GET", Path: "/v1/fail/{kind}", Name: "fail", Role: identity.Anyone},
		func(_ context.Context, in *struct {
			Kind string `path:"kind"`
		}) (*struct{ Body line }, error) {
			return nil, failures[in.Kind]
		})
	Handle(b.api, Route{Method: "GET", Path: "/v1/text/{text}", Name: "text", Role: identity.Anyone},
		func(_ context.Context, in *struct {
			Text string `path:"text"`
		}) (*struct{ Body string }, error) {
			if in.Text == "panic" {
				panic("secret reason")
			}
			return &struct{ Body string }{in.Text}, nil
		})
	b.api.Raw(Route{Method: "GET", Path: "/v1/stream", Name: "stream", Role: identity.User, Produces: "text/event-stream", Params: []*huma.Param{
		{Name: "kind", In: "query", Schema: &huma.Schema{Type: "array", MaxItems: new(2), Items: &huma.Schema{Type: "string", MaxLength: new(3)}}},
		{Name: "id", In: "query", Schema: &huma.Schema{Type: "string", Format: "uuid"}},
	}},
		func(c *fiber.Ctx) error { return c.SendString("data: 1\n\n") })
	return b
}

func asRole(c *fiber.Ctx) error {
	switch role := c.Get("X-Role"); role {
	case "":
	case "bad":
		RejectCredential(c, fault.New(fault.KindUnauthenticated, "token-expired", "The token has expired."))
	default:
		caller := identity.Caller{UserID: uuid.MustParse("0190a0a0-0000-7000-8000-000000000001"), Role: identity.Role(role), Restriction: identity.Restriction(c.Get("X-Restriction"))}
		caller.PasswordAt, _ = time.Parse(time.RFC3339, c.Get("X-Password-At"))
		c.SetUserContext(identity.NewContext(c.UserContext(), caller))
		switch really := c.Get("X-Really-At"); really {
		case "":
		case "down":
			ReadCallerWith(c, func(context.Context, identity.Caller) (identity.Caller, error) {
				return identity.Caller{}, fault.New(fault.KindUnavailable, "unavailable", "Later.")
			})
		default:
			ReadCallerWith(c, func(_ context.Context, c identity.Caller) (identity.Caller, error) {
				c.PasswordAt, _ = time.Parse(time.RFC3339, really)
				return c, nil
			})
		}
	}
	return c.Next()
}

// shops are the origins that may use the API from a browser.
var shops = Origins{"https://shop.example", "http://localhost:5173"}

type answer struct {
	*http.Response
	body string
}

func (b *bundle) do(t *testing.T, method, target, body string, pairs ...string) answer {
	t.Helper()
	req := httptest.NewRequest(method, "http://test/", strings.NewReader(body))
	if body == "" {
		req = httptest.NewRequest(method, "http://test/", http.NoBody)
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	req.RequestURI = target // unchanged, with its escapes
	req.Header.Set("X-Request-Id", "req-1")
	for i := 0; i+1 < len(pairs); i += 2 {
		req.Header.Set(pairs[i], pairs[i+1])
	}
	res, err := b.app.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(raw)}
}

func newRequestCtx(method, path, body string) *fasthttp.RequestCtx {
	ctx := &fasthttp.RequestCtx{}
	ctx.Request.Header.SetMethod(method)
	ctx.Request.SetRequestURI(path)
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.SetBodyString(body)
	return ctx
}
