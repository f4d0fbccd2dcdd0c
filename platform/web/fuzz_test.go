package web

import (
	"context"
	stdjson "encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
)

func FuzzDecodeCursor(f *testing.F) {
	f.Add(EncodeCursor("a", "b"), 2)
	f.Add("AAAA", 1)
	f.Fuzz(func(t *testing.T, s string, parts int) {
		list, err := DecodeCursor(s, parts&7)
		switch {
		case err == nil && (len(list) != parts&7 || EncodeCursor(list...) != s):
			t.Errorf("%q gave %q", s, list)
		case err != nil:
			if _, ok := fault.As(err); !ok {
				t.Error(err)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"items":[{"sku":"A","quantity":1}]}`, `{"a":1,"a":2}`, `{"items":[{"quantity":1e400}]}`, "\"\xff\"", `[[[`, `{"free":{"a":[null]}}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var in basket
		err := Decode(data, &in)
		if err == nil && !stdjson.Valid(data) {
			t.Errorf("accepted %q", data)
		}
		if err == nil {
			return
		}
		if got, ok := fault.As(err); !ok || got.Kind != fault.KindMalformed && got.Kind != fault.KindInvalid {
			t.Errorf("%q: %v", data, err)
		}
	})
}

// FuzzBody sends bodies through the whole input validation: a body that reaches the handler
// conforms to its schema, and a refusal names every fault (SPEC R3).
func FuzzBody(f *testing.F) {
	app := fiber.New(Config(Options{Log: slog.New(slog.DiscardHandler)}))
	api := New(app, Options{Log: slog.New(slog.DiscardHandler)})
	Handle(api, Route{Method: "POST", Path: "/v1/baskets", Name: "place", Role: identity.Anyone},
		func(_ context.Context, in *struct{ Body basket }) (*struct{}, error) {
			b := in.Body
			ok := len(b.Items) >= 1 && len(b.Items) <= 3 && utf8.RuneCountInString(b.Note) <= 20 && !strings.ContainsRune(b.Note, 0) &&
				(b.Mode == "" || b.Mode == "fail" || b.Mode == "hold")
			for _, l := range b.Items {
				ok = ok && l.Quantity >= 1 && l.Quantity <= 1_000_000 && l.SKU != "" && len(l.SKU) <= 8
			}
			if !ok {
				return nil, fmt.Errorf("let through: %+v", b)
			}
			return nil, nil
		})
	for _, seed := range []string{
		`{"items":[{"sku":"A","quantity":1}],"note":"x","ref":null,"metadata":{"a":"b"},"free":[1,{"a":1e9}],"tags":["a","b"],"owner":"0190a0a0-0000-7000-8000-000000000001","small":1,"big":-1,"password":"\u0000"}`,
		`{"items":[{"sku":"A","quantity":1}],"tags":[{}]}`, `{"items":null}`, `[]`, `{"items":[{"sku":"\u0041","quantity":1.0}],"free":{"a.b":["\u0000"]}}`, `{"items":[{},{},{},{}],"":0}`,
	} {
		f.Add([]byte(seed))
	}
	serve := app.Handler()
	f.Fuzz(func(t *testing.T, data []byte) {
		ctx := newRequestCtx("POST", "/v1/baskets", string(data))

		serve(ctx)

		status, said := ctx.Response.StatusCode(), string(ctx.Response.Body())
		switch status {
		case 204, 400, 413:
		case 422:
			if !strings.Contains(said, `"pointer":"`) {
				t.Errorf("%q: names no fault: %s", data, said)
			}
		default:
			t.Errorf("%q: %d %s", data, status, said)
		}
		if status == 204 && !stdjson.Valid(data) {
			t.Errorf("accepted %q", data)
		}
	})
}

func FuzzParseIfMatch(f *testing.F) {
	for _, seed := range []string{`"1"`, `*`, `W/"1"`, `"1", "2"`, ` "9223372036854775807"`, `"a,b"`, `"`, `"1",,W/"2" ,"3"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		versions, err := ParseIfMatch(header)
		if err != nil && !fault.Is(err, "malformed") {
			t.Error(err)
		}
		if value := strings.Trim(header, " \t"); err == nil && versions == nil && value != "" && value != "*" {
			t.Errorf("%q allows every version", header)
		}
		for _, version := range versions {
			if !strings.Contains(header, ETag(version)) {
				t.Errorf("%q allows version %d", header, version)
			}
		}
		NotModified(header, `"1"`)
	})
}

func FuzzTime(f *testing.F) {
	for _, seed := range []string{"2026-01-31T12:00:00Z", "0000-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999999-23:59", "2016-12-31T23:59:60Z", "2026-01-31t12:00:00,5z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var at, back jsontime.Time
		if at.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := back.UnmarshalText([]byte(at.String())); err != nil || !back.Std().Equal(at.Std().Truncate(time.Millisecond)) {
			t.Errorf("%q became %s, %v", text, at, err)
		}
	})
}

func FuzzForwardedFor(f *testing.F) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, seed := range []string{"1.2.3.4", "1.2.3.4, 10.0.0.1", ",,", "junk", "[::1]:80", "fe80::1%eth0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		outside := netip.MustParseAddr("8.8.8.8")
		if got := clientAddress(outside, []string{line}, trusted); got != outside {
			t.Errorf("%q moved a stranger to %s", line, got)
		}
		got := clientAddress(netip.MustParseAddr("10.0.0.1"), []string{line}, trusted)
		if !got.IsValid() || got.Is4In6() || got.Zone() != "" {
			t.Errorf("%q gave %s", line, got)
		}
		if behind := clientAddress(netip.MustParseAddr("10.0.0.1"), []string{line, "8.8.8.8"}, trusted); behind != outside {
			t.Errorf("%q went past a stranger to %s", line, behind)
		}
	})
}
