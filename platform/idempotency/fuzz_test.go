package idempotency_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// SPEC C3: a key is 1 to 255 visible ASCII characters; anything else is a 400.
func FuzzHeader(f *testing.F) {
	app := fiber.New(web.Config())
	var got string
	web.Handle(web.New(app, web.Options{}), web.Route{Method: "POST", Path: "/v1/acts", Name: "act", Role: identity.Anyone},
		func(_ context.Context, in *struct{ idempotency.Header }) (*struct{}, error) {
			got = in.IdempotencyKey
			return nil, nil
		})
	for _, seed := range []string{"", "a", "a b", "\u00e9", strings.Repeat("x", 255), strings.Repeat("x", 256), "\x7f", "~!", "a\x00", "\t"} {
		f.Add(seed)
	}
	serve := app.Handler()
	f.Fuzz(func(t *testing.T, value string) {
		ctx := &fasthttp.RequestCtx{}
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.SetRequestURI("/v1/acts")
		ctx.Request.Header.Set("Idempotency-Key", value)
		sent := string(ctx.Request.Header.Peek("Idempotency-Key"))

		serve(ctx)

		good := sent != "" && len(sent) <= 255 && !strings.ContainsFunc(sent, func(r rune) bool { return r <= ' ' || r > '~' })
		if status := ctx.Response.StatusCode(); good && (status != 204 || got != sent) || !good && status != 400 {
			t.Errorf("%q: %d, %q", sent, status, got)
		}
	})
}
