package orders_test

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

var bodies = []string{
	`{"items":[{"sku":"A","quantity":1}],"reference":"r","note":null,"metadata":{"a":[1e400,-0,"\u00e9"]},"paymentMethod":"pm_1","onShortage":"hold"}`,
	`{"items":[{"sku":"A","quantity":1000000},{"sku":"A","quantity":1.0}]}`, `{"items":[]}`, `{"items":[{"sku":"\u0000","quantity":-1}]}`, `{"items":null,"metadata":[]}`,
	`{"items":[{"sku":"A","Quantity":1,"quantity":1}]}`, `[]`, ``,
}

// SPEC C1: what is asked of the module lies within the bounds of its document.
func FuzzOrder(f *testing.F) {
	serve := frontDoor(f, func(_ context.Context, in *struct{ Body orders.OrderRequest }) (*struct{}, error) {
		return nil, within(in.Body)
	})
	for _, seed := range bodies {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) { serve(t, data) })
}

// SPEC C11: and so does each of many, or it is refused alone.
func FuzzBulk(f *testing.F) {
	serve := frontDoor(f, func(ctx context.Context, in *struct{ Body orders.BulkOrderRequest }) (*struct{}, error) {
		for i := range in.Body.Orders.Len() {
			w, err := in.Body.Orders.Read(ctx, i)
			if _, told := fault.As(err); told {
				continue
			}
			if err == nil {
				err = within(w)
			}
			if err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	for _, seed := range bodies {
		f.Add([]byte(`{"orders":[` + bodies[0] + `,` + seed + `]}`))
		f.Add([]byte(`{"mode":"atomic","orders":[` + seed + `,7,null]}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) { serve(t, data) })
}

// frontDoor is a route with nothing behind it but h, whose errors are faults of ours.
func frontDoor[I any](f *testing.F, h func(context.Context, *I) (*struct{}, error)) func(*testing.T, []byte) {
	f.Helper()
	log := slog.New(slog.DiscardHandler)
	app := fiber.New(web.Config(web.Options{Log: log}))
	var failed error
	web.Handle(web.New(app, web.Options{Log: log}), web.Route{Method: "POST", Path: "/", Name: "fuzz", Role: identity.Anyone},
		func(ctx context.Context, in *I) (out *struct{}, err error) {
			out, failed = h(ctx, in)
			return out, failed
		})
	serve := app.Handler()
	return func(t *testing.T, data []byte) {
		t.Helper()
		ctx := &fasthttp.RequestCtx{}
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.Header.SetContentType("application/json")
		ctx.Request.SetBody(data)
		failed = nil

		serve(ctx)

		switch status := ctx.Response.StatusCode(); status {
		case 204, 400, 413, 422:
		default:
			t.Errorf("%q: %d %s, %v", data, status, ctx.Response.Body(), failed)
		}
	}
}

func within(w orders.OrderRequest) error {
	fits := len(w.Items) >= 1 && len(w.Items) <= 500 && (w.OnShortage == "" || w.OnShortage == "fail" || w.OnShortage == "hold")
	for _, item := range w.Items {
		fits = fits && item.Quantity >= 1 && item.Quantity <= 1_000_000 && text(&item.SKU, 1, 64)
	}
	fits = fits && text(w.PaymentMethod, 1, 255) && textsFit(reflect.ValueOf(w.GivenRequest))
	if !fits || len(w.Metadata) > 0 && w.Metadata[0] != '{' {
		return fmt.Errorf("let through: %+v", w)
	}
	return nil
}

// textsFit holds the optional texts of a struct against the lengths in their tags.
func textsFit(v reflect.Value) bool {
	fits := true
	for i := range v.NumField() {
		limit := func(tag string) int {
			n, _ := strconv.Atoi(v.Type().Field(i).Tag.Get(tag)) // no minimum is 0
			return n
		}
		if s, isText := reflect.TypeAssert[*string](v.Field(i)); isText {
			fits = fits && text(s, limit("minLength"), limit("maxLength"))
		}
	}
	return fits
}

func text(s *string, least, most int) bool {
	if s == nil {
		return true
	}
	n := utf8.RuneCountInString(*s)
	return n >= least && n <= most && utf8.ValidString(*s) && !strings.ContainsRune(*s, 0)
}
