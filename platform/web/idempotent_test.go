package web

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

type act struct {
	Name string `json:"name"`
}

type actInput struct {
	ActOf
	Number int64 `path:"number"`
	Body   *struct {
		A int    `json:"a"`
		B string `json:"b,omitzero"`
	}
}

type ActOf struct {
	ID  uuid.UUID `path:"id" format:"uuid"`
	SKU string    `path:"sku"`
}

// acting is an app with one idempotent route, which tells the keys that it got.
func acting(t testing.TB, seen *[]idempotency.Key[act]) (post func(path, key, body string) *fasthttp.RequestCtx, caller identity.Caller) {
	t.Helper()
	caller = identity.Caller{UserID: uuid.New(), Role: identity.User}
	app := fiber.New(Config())
	app.Use(func(c *fiber.Ctx) error {
		c.SetUserContext(identity.NewContext(c.UserContext(), caller))
		return c.Next()
	})
	HandleIdempotent(New(app, Options{}),
		Route{Method: "POST", Path: "/v1/acts/{id}/of/{sku}/{number}/do", Name: "act", Role: identity.User, Status: 201},
		Responder[act, act]{Location: func(a act) string { return "/v1/acts/" + a.Name }, Version: func(act) int64 { return 7 }},
		func(_ context.Context, _ *actInput, key idempotency.Key[act]) (idempotency.Result[act], error) {
			*seen = append(*seen, key)
			return idempotency.Result[act]{Value: act{"x"}, Replayed: key.Key == "again"}, nil
		})
	serve := app.Handler()
	return func(path, key, body string) *fasthttp.RequestCtx {
		ctx := &fasthttp.RequestCtx{}
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.SetRequestURI(path)
		if key != "" {
			ctx.Request.Header.Set(idempotencyKey, key)
		}
		if body != "" {
			ctx.Request.Header.SetContentType("application/json")
			ctx.Request.SetBodyString(body)
		}
		serve(ctx)
		return ctx
	}, caller
}

const actPath = "/v1/acts/018f0000-0000-7000-8000-00000000000a/of/a%2Fb/007/do"

// SPEC C3: a key belongs to its caller, method and path, however the path is spelled,
// and to the meaning of the body.
func TestKeyOfARequest(t *testing.T) {
	t.Parallel()
	var seen []idempotency.Key[act]
	post, caller := acting(t, &seen)

	post(actPath, "k", `{"a":1,"b":"x"}`)
	post(strings.Replace(actPath, "a/of", "A/of", 1), "k", ` {"b":"x", "a":1}`)
	post(actPath, "k", `{"a":2,"b":"x"}`)
	post(actPath, "k", "")
	post(actPath, "", `{"a":1}`)

	if len(seen) != 5 {
		t.Fatalf("%d requests came through", len(seen))
	}
	first := seen[0]
	if first.Caller != caller.UserID || first.Role != identity.User || first.Key != "k" || len(first.Fingerprint) != 32 {
		t.Errorf("got %+v", first.Request)
	}
	for _, key := range seen[:4] {
		if want := "POST /v1/acts/018f0000-0000-7000-8000-00000000000a/of/a/b/7/do"; key.Route != want {
			t.Errorf("the scope is %q, want %q", key.Route, want)
		}
	}
	if !slices.Equal(first.Fingerprint, seen[1].Fingerprint) || slices.Equal(first.Fingerprint, seen[2].Fingerprint) || slices.Equal(first.Fingerprint, seen[3].Fingerprint) {
		t.Error("the fingerprint does not tell bodies apart")
	}
	if seen[4].Given() || seen[4].Renderer == nil {
		t.Errorf("a key out of nothing: %+v", seen[4])
	}
}

func TestResponseOfAValue(t *testing.T) {
	t.Parallel()
	var seen []idempotency.Key[act]
	post, _ := acting(t, &seen)

	for key, replayed := range map[string]string{"first": "", "again": "true"} {
		r := &post(actPath, key, "").Response
		if r.StatusCode() != 201 || string(r.Body()) != `{"name":"x"}` || string(r.Header.Peek("ETag")) != `"7"` ||
			string(r.Header.Peek("Location")) != "/v1/acts/x" || string(r.Header.Peek("Idempotency-Replayed")) != replayed {
			t.Errorf("%s: %s", key, r)
		}
	}
}

func TestRoutesThatCannotBeIdempotent(t *testing.T) {
	t.Parallel()
	for name, register := range map[string]func(*API){
		"without the handler for it": func(a *API) {
			Handle(a, Route{Method: "POST", Path: "/x", Name: "x", Role: identity.User, Idempotent: true},
				func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
		},
		"no field for an id": func(a *API) {
			HandleIdempotent(a, Route{Method: "POST", Path: "/x/{id}", Name: "x", Role: identity.User}, Responder[act, act]{},
				func(context.Context, *struct{}, idempotency.Key[act]) (r idempotency.Result[act], err error) {
					return r, err
				})
		},
		"no body": func(a *API) {
			HandleIdempotent(a, Route{Method: "POST", Path: "/x", Name: "x", Role: identity.User}, Responder[int, act]{},
				func(context.Context, *struct{}, idempotency.Key[int]) (r idempotency.Result[int], err error) {
					return r, err
				})
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: registered", name)
				}
			}()
			register(New(fiber.New(Config()), Options{}))
		}()
	}
}

// SPEC C3: a key is 1 to 255 visible ASCII characters; anything else is a 400.
func FuzzIdempotencyKey(f *testing.F) {
	var seen []idempotency.Key[act]
	post, _ := acting(f, &seen)
	for _, seed := range []string{"", "a", "a b", "\u00e9", strings.Repeat("x", 255), strings.Repeat("x", 256), "\x7f", "~!", "a\x00", "\t"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		seen = nil
		ctx := &fasthttp.RequestCtx{}
		ctx.Request.Header.Set(idempotencyKey, value)
		sent := string(ctx.Request.Header.Peek(idempotencyKey))

		status := post(actPath, value, "").Response.StatusCode()

		if sent == "" { // as without a key
			if status != 201 || len(seen) != 1 || seen[0].Given() {
				t.Errorf("%q: %d, %+v", value, status, seen)
			}
			return
		}
		good := len(sent) <= 255 && !strings.ContainsFunc(sent, func(r rune) bool { return r <= ' ' || r > '~' })
		if good && (status != 201 || len(seen) != 1 || seen[0].Key != sent) || !good && status != 400 {
			t.Errorf("%q: %d, %+v", sent, status, seen)
		}
	})
}

func TestEmptyIdempotencyKey(t *testing.T) {
	t.Parallel()
	var seen []idempotency.Key[act]
	post, _ := acting(t, &seen)
	if status := post(actPath, "\t", "").Response.StatusCode(); status != 400 {
		t.Errorf("an empty key: %d", status)
	}
}
