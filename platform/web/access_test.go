package web

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

func TestAccessNamesPatternsOnly(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	reg := prometheus.NewRegistry()
	b := &bundle{app: fiber.New(Config())}
	b.app.Use(func(c *fiber.Ctx) error { return TrustTraces(c.Get("X-Gateway") != "")(c) }, RequestID(), Access(slog.New(slog.NewJSONHandler(&out, nil)), reg, nil), asRole)
	Access(nil, reg, nil) // a second one shares the histogram
	b.api = New(b.app, Options{})
	Handle(b.api, Route{Method: "GET", Path: "/v1/users/{email}", Name: "user", Role: identity.User},
		func(context.Context, *struct {
			Email string `path:"email"`
			Q     string `query:"q"`
		}) (*struct{}, error) {
			return nil, nil
		})

	const traced = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
	b.do(t, "GET", "/v1/users/eve@example.com?q=secret", "", "X-Role", "user", "Traceparent", traced)
	untrusted := out.String()
	b.do(t, "GET", "/v1/users/eve@example.com?q=secret", "", "X-Role", "user", "Traceparent", traced, "X-Gateway", "1")
	b.do(t, "GET", "/v1/eve@example.com", "")
	b.do(t, "PUT", "/v1/users/eve@example.com", "")

	if !strings.Contains(untrusted, `,"client_request_id":"req-1"`) || strings.Contains(untrusted, `,"request_id":"req-1"`) || strings.Contains(untrusted, "0123456789abcdef") {
		t.Errorf("a caller that is not trusted chose the ids in %s", untrusted)
	}
	log := out.String()
	for _, want := range []string{
		`"method":"GET","route":"/v1/users/{email}","status":204`, `"request_id":"req-1","user_id":"0190a0a0-`,
		`"trace_id":"0123456789abcdef0123456789abcdef"`,
		`"method":"GET","route":"unmatched","status":404`, `"method":"PUT","route":"unmatched","status":405`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
	if strings.Contains(log, "eve@") || strings.Contains(log, "secret") {
		t.Errorf("personal data in %s", log)
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 2 || families[0].GetName() != "http_request_duration_seconds" || len(families[0].GetMetric()) != 3 {
		t.Errorf("%v %v", families, err)
	}
}

func TestContextOfAHandler(t *testing.T) {
	t.Parallel()
	b := &bundle{app: fiber.New(Config())}
	b.app.Use(TrustTraces(true), RequestID(), ClientAddress([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/32")}), Deadline(time.Minute))
	b.api = New(b.app, Options{})
	type seen struct {
		Address string `json:"address"`
		ID      string `json:"id"`
		Bounded bool   `json:"bounded"`
		Note    string `json:"note"`
	}
	Handle(b.api, Route{Method: "POST", Path: "/v1/seen", Name: "seen", Role: identity.Anyone},
		func(ctx context.Context, in *struct {
			Body *struct {
				Note string `json:"note"`
			}
		}) (*struct{ Body seen }, error) {
			_, bounded := ctx.Deadline()
			out := seen{clientaddr.From(ctx).String(), RequestIDFrom(ctx), bounded, "none"}
			if in.Body != nil {
				out.Note = in.Body.Note
			}
			return &struct{ Body seen }{out}, nil
		})

	// the connection of a test comes from 0.0.0.0
	bare := b.do(t, "POST", "/v1/seen", "", "X-Forwarded-For", "6.6.6.6, 9.9.9.9")
	full := b.do(t, "POST", "/v1/seen", `{"note":"n"}`)

	if want := `{"address":"9.9.9.9","id":"req-1","bounded":true,"note":"none"}`; bare.body != want {
		t.Errorf("%s, want %s", bare.body, want)
	}
	if want := `{"address":"0.0.0.0","id":"req-1","bounded":true,"note":"n"}`; full.body != want {
		t.Errorf("%s, want %s", full.body, want)
	}
}

// TestReadDeadlineIsFibers: huma's own deadline would outlive the request and
// drop an idle connection after 5 s. Passing it on would panic here.
func TestReadDeadlineIsFibers(t *testing.T) {
	t.Parallel()
	if err := (&request{}).SetReadDeadline(time.Now()); err != nil {
		t.Error(err)
	}
}

func BenchmarkPost(bench *testing.B) {
	app := fiber.New(Config())
	app.Use(Recover(nil), RequestID(), Headers(), JSONOnly(), Deadline(time.Second))
	api := New(app, Options{})
	Handle(api, Route{Method: "POST", Path: "/v1/baskets", Name: "place", Role: identity.Anyone, Status: 201},
		func(_ context.Context, in *struct{ Body basket }) (*struct{ Body basket }, error) {
			return &struct{ Body basket }{in.Body}, nil
		})
	serve := app.Handler()
	ctx := newRequestCtx("POST", "/v1/baskets", `{"items":[{"sku":"A","quantity":1},{"sku":"B","quantity":2}],"note":"n"}`)
	bench.ReportAllocs()
	for bench.Loop() {
		ctx.Response.Reset()
		ctx.ResetUserValues()
		serve(ctx)
	}
	if ctx.Response.StatusCode() != fiber.StatusCreated {
		bench.Fatalf("%s", ctx.Response.Body())
	}
}

// API4:2023: the 2^64 addresses of an IPv6 network share one limit.
func TestSite(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "2001:db8::1": "2001:db8::/64", "2001:db8::ffff:0:0:1": "2001:db8::/64", "2001:db8:0:1::1": "2001:db8:0:1::/64",
	} {
		if got := clientaddr.Network(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s is of %s, want %s", in, got, want)
		}
	}
	if clientaddr.Network(netip.Addr{}).IsValid() {
		t.Error("no address is somewhere")
	}
}
