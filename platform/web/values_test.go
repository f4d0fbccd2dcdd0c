package web

import (
	stdjson "encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
)

// R1: times are UTC in RFC 3339 with milliseconds.
func TestTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_999_999, time.FixedZone("", 3600))

	raw, err := canonical.Marshal(jsontime.At(at))
	if err != nil || string(raw) != `"2026-01-02T02:04:05.006Z"` {
		t.Errorf("%s %v", raw, err)
	}
	var back jsontime.Time
	if err := Decode(raw, &back); err != nil || !back.Std().Equal(at.Truncate(time.Millisecond)) {
		t.Errorf("%v %v", back, err)
	}
	if err := Decode([]byte(`"2026-13-01T00:00:00Z"`), &back); !fault.Is(err, "invalid") {
		t.Error(err)
	}
	if jsontime.AtOrNil(nil) != nil {
		t.Error("nil is not kept")
	}
}

func TestCursor(t *testing.T) {
	t.Parallel()
	for _, parts := range [][]string{{}, {""}, {"a"}, {"a", "", "é.b"}} {
		got, err := DecodeCursor(EncodeCursor(parts...), len(parts))
		if err != nil || !slices.Equal(got, parts) {
			t.Errorf("%q: %q %v", parts, got, err)
		}
	}
	good := EncodeCursor("a", "b")
	for _, bad := range []string{"", "x", good[1:], good[:len(good)-1], good + "A", good + "\n", "B" + good[1:], EncodeCursor("a"),
		EncodeCursor("a", "\x00"), EncodeCursor("a", "\xff"), EncodeCursor(strings.Repeat("a", 2000), "b")} {
		_, err := DecodeCursor(bad, 2)
		if f, ok := fault.As(err); !ok || f.Kind != fault.KindMalformed || f.Fields[0].Pointer != "/query/cursor" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	rows := []struct {
		h                 string
		version           int64
		wildcard, present bool
		bad               bool
	}{
		{"", 0, false, false, false},
		{`"7"`, 7, false, true, false},
		{"*", 0, true, true, false},
		{`W/"7"`, -1, false, true, false},
		{`"07"`, -1, false, true, false},
		{`"abc"`, -1, false, true, false},
		{`"-1"`, -1, false, true, false},
		{`7`, 0, false, true, true},
		{`"7`, 0, false, true, true},
		{`"7", "8"`, 0, false, true, true},
	}
	for _, row := range rows {
		version, wildcard, present, err := ParseIfMatch(row.h)
		if version != row.version || wildcard != row.wildcard || present != row.present || (err != nil) != row.bad {
			t.Errorf("%s: %d %v %v %v", row.h, version, wildcard, present, err)
		}
	}
}

func TestNotModified(t *testing.T) {
	t.Parallel()
	for h, want := range map[string]bool{
		``: false, `*`: true, `"7"`: true, `W/"7"`: true, `"6"`: false, `"6", "7"`: true, `"a,b" , W/"7"`: true, `7`: false, `"7`: false, `"6" "7"`: false,
	} {
		if got := NotModified(h, ETag(7)); got != want {
			t.Errorf("%s: %v", h, got)
		}
	}
}

func TestForwardedFor(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), plainPrefix(netip.MustParsePrefix("::ffff:192.168.0.0/112"))}
	rows := []struct {
		remote string
		lines  []string
		want   string
	}{
		{"1.1.1.1", []string{"9.9.9.9"}, "1.1.1.1"},
		{"10.0.0.1", nil, "10.0.0.1"},
		{"10.0.0.1", []string{"9.9.9.9"}, "9.9.9.9"},
		{"::ffff:10.0.0.1", []string{"::ffff:9.9.9.9"}, "9.9.9.9"},
		{"10.0.0.1", []string{"6.6.6.6, 9.9.9.9"}, "9.9.9.9"},
		{"10.0.0.1", []string{"6.6.6.6, 9.9.9.9, 10.2.2.2, 192.168.1.1"}, "9.9.9.9"},
		{"10.0.0.1", []string{"6.6.6.6", "9.9.9.9"}, "9.9.9.9"},
		{"10.0.0.1", []string{"6.6.6.6, junk, 10.2.2.2"}, "10.2.2.2"},
		{"10.0.0.1", []string{"6.6.6.6, "}, "10.0.0.1"},
		{"10.0.0.1", []string{"9.9.9.9:80"}, "9.9.9.9"},
		{"10.0.0.1", []string{"[2001:db8::1]:80"}, "2001:db8::1"},
		{"10.0.0.1", []string{"fe80::1%eth0"}, "fe80::1"},
		{"10.0.0.1", []string{"10.0.0.2, 10.0.0.3"}, "10.0.0.2"},
	}
	for _, row := range rows {
		if got := clientAddress(plainAddr(netip.MustParseAddr(row.remote)), row.lines, trusted); got.String() != row.want {
			t.Errorf("%s %q: %s, want %s", row.remote, row.lines, got, row.want)
		}
	}
}

// TestCodes compares the table of codes with the messages of huma: a new message without a
// code would become "invalid".
func TestCodes(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		validation.MsgUnexpectedProperty:                "unknown-field",
		validation.MsgExpectedRFC3339DateTime:           "format",
		validation.MsgExpectedRFC5322Email:              "format",
		validation.MsgExpectedRFC4122UUID:               "format",
		validation.MsgExpectedRFCIPAddr:                 "format",
		validation.MsgExpectedRegexp:                    "format",
		validation.MsgExpectedDuration:                  "format",
		validation.MsgExpectedBase64String:              "format",
		validation.MsgExpectedBoolean:                   "type",
		validation.MsgExpectedNumber:                    "type",
		validation.MsgExpectedInteger:                   "type",
		validation.MsgExpectedString:                    "type",
		validation.MsgExpectedArray:                     "type",
		validation.MsgExpectedObject:                    "type",
		validation.MsgExpectedArrayItemsUnique:          "unique",
		validation.MsgExpectedOneOf:                     "enum",
		validation.MsgExpectedMinimumNumber:             "minimum",
		validation.MsgExpectedExclusiveMinimumNumber:    "minimum",
		validation.MsgExpectedMaximumNumber:             "maximum",
		validation.MsgExpectedExclusiveMaximumNumber:    "maximum",
		validation.MsgExpectedNumberBeMultipleOf:        "invalid",
		validation.MsgExpectedMinLength:                 "min-length",
		validation.MsgExpectedMaxLength:                 "max-length",
		validation.MsgExpectedBePattern:                 "pattern",
		validation.MsgExpectedMatchPattern:              "pattern",
		validation.MsgExpectedMinItems:                  "min-items",
		validation.MsgExpectedMaxItems:                  "max-items",
		validation.MsgExpectedMinProperties:             "min-items",
		validation.MsgExpectedMaxProperties:             "max-items",
		validation.MsgExpectedRequiredProperty:          "required",
		validation.MsgExpectedDependentRequiredProperty: "required",
		validation.MsgExpectedMatchAtLeastOneSchema:     "invalid",
	} {
		if got := codeOf(message); got != want {
			t.Errorf("%s: %s, want %s", message, got, want)
		}
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	b := setup(t)

	raw, err := b.api.Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]map[string]any
		Components struct{ Schemas, Responses map[string]any }
	}
	if err := stdjson.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Components.Schemas["Problem"] == nil || doc.Components.Schemas["ErrorModel"] != nil {
		t.Errorf("%s", raw)
	}
	place := doc.Paths["/v1/baskets"]["post"]
	responses, _ := place["responses"].(map[string]any)
	for _, status := range []string{"201", "400", "401", "403", "422", "429", "500", "503"} {
		if responses[status] == nil {
			t.Errorf("POST has no %s: %v", status, responses)
		}
	}
	if place["security"] == nil || doc.Paths["/v1/baskets"]["get"]["security"] != nil || doc.Paths["/v1/stream"]["get"] == nil {
		t.Error("security or the raw route is missing")
	}
	if responses["default"] != nil || doc.Paths["/v1/baskets"]["head"] != nil {
		t.Error("the document has an unexpected member")
	}
}

func TestRoutesAreCheckedAtStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, r := range map[string]Route{
		"no role": {Method: "GET", Path: "/v1/x", Name: "a"},
		"hidden":  {Method: "GET", Path: "/v1/baskets/stats", Name: "b", Role: identity.Anyone},
		"twice":   {Method: "GET", Path: "/v1/baskets", Name: "c", Role: identity.Anyone},

		"a password of nobody":    {Method: "GET", Path: "/v1/y", Name: "d", Role: identity.Anyone, RecentPassword: true},
		"a password of a machine": {Method: "GET", Path: "/v1/z", Name: "e", Role: identity.User, Scope: identity.OrdersRead, RecentPassword: true},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			b.api.Raw(r)
		}()
	}
	routes := b.api.Routes()
	if len(routes) != 12 || routes[0].Path != "/v1/baskets" || routes[0].Method != http.MethodGet || routes[1].Method != http.MethodPost {
		t.Errorf("%+v", routes)
	}
}
