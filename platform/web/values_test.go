package web

import (
	"fmt"
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

// SPEC R41: a list of tags, of which one must be the present version.
func TestIfMatch(t *testing.T) {
	t.Parallel()
	rows := []struct {
		h    string
		want IfMatch
		bad  bool
	}{
		{"", nil, false},
		{"*", nil, false},
		{" *\t", nil, false},
		{`"7"`, IfMatch{7}, false},
		{`"7", "8"`, IfMatch{7, 8}, false},
		{`"7","8" , "9",`, IfMatch{7, 8, 9}, false},
		{`W/"7"`, IfMatch{}, false},
		{`W/"7", "8"`, IfMatch{8}, false},
		{`"07"`, IfMatch{}, false},
		{`"abc"`, IfMatch{}, false},
		{`"a,b", "7"`, IfMatch{7}, false},
		{`"-1"`, IfMatch{}, false},
		{`7`, nil, true},
		{`"7`, nil, true},
		{`"7" "8"`, nil, true},
		{`"7", *`, nil, true},
		{`*, "7"`, nil, true},
		{`,`, nil, true},
	}
	for _, row := range rows {
		got, err := ParseIfMatch(row.h)
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", row.want) || (err != nil) != row.bad {
			t.Errorf("%s: %#v %v, want %#v", row.h, got, err, row.want)
		}
	}
	if !IfMatch(nil).Allows(3) || (IfMatch{}).Allows(3) || !(IfMatch{2, 3}).Allows(3) {
		t.Error("no header allows every version, an unknown tag none, a list those that it has")
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
