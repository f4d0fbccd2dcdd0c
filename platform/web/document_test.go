package web

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

type price struct {
	Amount int64 `json:"amount"`
}

type lampRequest struct {
	Price price  `json:"price"`
	Mode  string `json:"mode,omitempty" enum:"dim,bright" default:"dim"`
	Code  string `json:"code,omitempty" pattern:"^[a-z]+$" patternDescription:"small letters"`
}

type lamp struct {
	_ struct{} `schema:"Luminaire"`

	Price price  `json:"price"`
	Mode  string `json:"mode" enum:"dim,bright"`
	Extra any    `json:"extra"`
}

type lampInput struct {
	ID   string `path:"id"`
	Body lampRequest
}

// lamps is the document of an API with two tags.
func lamps(t *testing.T) (doc struct {
	OpenAPI    string
	Tags       []Tag
	Paths      map[string]map[string]map[string]any
	Components struct{ Schemas map[string]map[string]any }
}, raw string) {
	t.Helper()
	api := New(fiber.New(Config()), Options{
		Title: "Lamps", Tags: []Tag{{"First", "What comes first."}, {"Unused", "Nothing."}, {"Second", "What comes second."}},
		Codes: fault.Catalog{Codes: []fault.Code{{
			Name: "bulb-broken", Kinds: []fault.Kind{fault.KindConflict}, Meaning: "The bulb of `id` is broken. Buy another one.", Action: "Buy.",
		}}},
	})
	api.NameEnum("LampMode", "bright", "dim")
	api.SetSchemas(func() (map[string]any, error) {
		return map[string]any{"Unreferenced": map[string]any{"type": "object"}}, nil
	})
	Handle(api, Route{
		Method: "PUT", Path: "/v1/lamps/{id}", Name: "put-lamp", Tag: "Second", Role: identity.Admin, Codes: []string{"bulb-broken"},
		Summary: "Put a lamp", Doc: "Puts it.", Example: `{"price":{"amount":5}}`, Scope: identity.OrdersWrite,
	}, func(context.Context, *lampInput) (*struct{ Body lamp }, error) { return nil, nil })
	Handle(api, Route{Method: "GET", Path: "/v1/lamps", Name: "list-lamps", Tag: "Second", Role: identity.User},
		func(context.Context, *Paging) (*PageOf[lamp], error) { return nil, nil })
	Handle(api, Route{Method: "GET", Path: "/v1/zones", Name: "list-zones", Tag: "First", Role: identity.Anyone},
		func(context.Context, *struct{}) (*struct{ Body price }, error) { return nil, nil })
	Handle(api, Route{Method: "GET", Path: "/v1/others", Name: "list-others", Tag: "Other", Role: identity.Anyone},
		func(context.Context, *struct{}) (*struct{ Body price }, error) { return nil, nil })
	body, err := api.Document()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	return doc, string(body)
}

// SPEC R20: schemas of requests are closed, those of responses open, and one that both use exists
// twice. A name comes from the tag, from the item of a page, or from the type.
func TestRequestsAreClosedAndResponsesOpen_R20(t *testing.T) {
	t.Parallel()
	doc, _ := lamps(t)
	names := slices.Sorted(maps.Keys(doc.Components.Schemas))
	if want := []string{"FieldError", "LampMode", "LampRequest", "Luminaire", "LuminairePage", "Price", "PriceInput", "Problem"}; !slices.Equal(names, want) {
		t.Errorf("the schemas are %v, want %v", names, want)
	}
	for _, name := range names {
		_, closed := doc.Components.Schemas[name]["additionalProperties"]
		if request := name == "LampRequest" || name == "PriceInput"; closed != request {
			t.Errorf("%s: additionalProperties is %v", name, doc.Components.Schemas[name]["additionalProperties"])
		}
	}
	request, _ := json.Marshal(doc.Components.Schemas["LampRequest"]["properties"])
	if !strings.Contains(string(request), "#/components/schemas/PriceInput") {
		t.Errorf("the request refers to the schema of responses: %s", request)
	}
}

// SPEC R20: no optional member of a request has a default, which generators take as required; equal
// enums are one schema; nothing of huma's own is left.
func TestGeneratorsUnderstandMembers_R20(t *testing.T) {
	t.Parallel()
	doc, raw := lamps(t)
	request, _ := doc.Components.Schemas["LampRequest"]["properties"].(map[string]any)
	mode, _ := request["mode"].(map[string]any)
	if mode["default"] != nil || mode["$ref"] != "#/components/schemas/LampMode" {
		t.Errorf("the mode is %v", mode)
	}
	code, _ := request["code"].(map[string]any)
	if code["description"] != "small letters" || strings.Contains(raw, "patternDescription") || strings.Contains(raw, schemaNameKey) {
		t.Errorf("the code is %v", code)
	}
	response, _ := doc.Components.Schemas["Luminaire"]["properties"].(map[string]any)
	if mode, _ := response["mode"].(map[string]any); mode["$ref"] != "#/components/schemas/LampMode" {
		t.Errorf("the mode of a response is %v", mode)
	}
}

// SPEC R21: an operation has its success and one default response with an example of each code.
func TestErrorsHaveExamples_R21(t *testing.T) {
	t.Parallel()
	doc, _ := lamps(t)
	responses, _ := doc.Paths["/v1/lamps/{id}"]["put"]["responses"].(map[string]any)
	if got := slices.Sorted(maps.Keys(responses)); !slices.Equal(got, []string{"200", "default"}) {
		t.Errorf("the responses are %v", got)
	}
	var response struct {
		Description string
		Content     map[string]struct {
			Examples map[string]struct {
				Summary string
				Value   Problem
			}
		}
	}
	raw, err := json.Marshal(responses["default"])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &response); err != nil {
		t.Fatal(err)
	}
	examples := response.Content[problemType].Examples
	want := []string{
		"bulb-broken", "forbidden", "internal", "invalid", "malformed", "not-found", "rate-limited", "scope-missing", "too-large",
		"unauthenticated", "unavailable", "unsupported-media-type",
	}
	if got := slices.Sorted(maps.Keys(examples)); !slices.Equal(got, want) {
		t.Errorf("the codes are %v, want %v", got, want)
	}
	broken := examples["bulb-broken"]
	if p := broken.Value; broken.Summary != "409 Conflict" || p.Status != 409 || p.Code != "bulb-broken" ||
		p.Detail != "The bulb of id is broken." || p.Instance != "/v1/lamps/"+exampleID {
		t.Errorf("the example is %+v", broken)
	}
	if !strings.Contains(response.Description, "400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503") {
		t.Errorf("the description is %q", response.Description)
	}
}

// SPEC R22: operations have an example of their body, a description of one paragraph, and a security
// requirement, which is empty if credentials are ignored.
func TestOperationsAreComplete_R22(t *testing.T) {
	t.Parallel()
	doc, raw := lamps(t)
	put := doc.Paths["/v1/lamps/{id}"]["put"]
	if put["description"] != "Puts it. API keys need the scope `orders:write`." {
		t.Errorf("the description is %q", put["description"])
	}
	if !strings.Contains(raw, `"example":{"price":{"amount":5}}`) {
		t.Error("the body has no example")
	}
	security, ok := doc.Paths["/v1/zones"]["get"]["security"].([]any)
	if !ok || len(security) != 0 {
		t.Errorf("the security of an open route is %v", security)
	}
	if doc.OpenAPI != "3.1.0" || doc.Paths["/v1/lamps"]["head"] != nil {
		t.Errorf("%.100s", raw)
	}
}

// SPEC R23: tags and paths have the order of the options; tags of other modules follow.
func TestOrderOfOperations_R23(t *testing.T) {
	t.Parallel()
	doc, raw := lamps(t)
	if want := []Tag{{"First", "What comes first."}, {"Second", "What comes second."}, {"Other", "Operations of Other."}}; !slices.Equal(doc.Tags, want) {
		t.Errorf("the tags are %v", doc.Tags)
	}
	last := 0
	for _, path := range []string{`"paths":`, `"/v1/zones":`, `"/v1/lamps/{id}":`, `"/v1/lamps":`, `"/v1/others":`, `"components":`} {
		at := strings.Index(raw, path)
		if at <= last {
			t.Errorf("%s is at %d, before its predecessor", path, at)
		}
		last = at
	}
}

// A code that no catalog documents is a programmer's mistake.
func TestUnknownCode(t *testing.T) {
	t.Parallel()
	api := New(fiber.New(Config()), Options{})
	Handle(api, Route{Method: "GET", Path: "/v1/x", Name: "x", Role: identity.Anyone, Codes: []string{"made-up"}},
		func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_, _ = api.Document()
}
