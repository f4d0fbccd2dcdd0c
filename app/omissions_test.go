package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// F5, C9: a status that is added to the table is added to every enum of the documents.
func TestStatusEnumsAreComplete_C9(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	var all []string
	for _, status := range lifecycle.All {
		all = append(all, string(status))
	}
	slices.Sort(all)

	for _, document := range []string{"/openapi.json", "/asyncapi.json"} {
		found := 0
		walkEnums("", reread(t, s.anonymous().want(200, "GET", document, "").raw), func(path string, values []string) {
			if !slices.Contains(values, string(lifecycle.Processing)) {
				return
			}
			found++
			if slices.Sort(values); !slices.Equal(values, all) {
				t.Errorf("%s: the enum at %s is %v, and lifecycle.All is %v", document, path, values, all)
			}
		})
		if found == 0 {
			t.Errorf("%s has no enum of statuses", document)
		}
	}
}

// walkEnums visits the enums of a document, null left out.
func walkEnums(path string, value any, visit func(path string, values []string)) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			list, isList := member.([]any)
			if name != "enum" || !isList {
				walkEnums(path+"/"+name, member, visit)
				continue
			}
			var values []string
			for _, one := range list {
				if text, isText := one.(string); isText {
					values = append(values, text)
				}
			}
			visit(path, values)
		}
	case []any:
		for i, member := range v {
			walkEnums(fmt.Sprintf("%s/%d", path, i), member, visit)
		}
	}
}

// C1, C6, C8: each command answers the order exactly as GET does, with every member of
// a request set. A column that only one of the two reads fails here.
func TestCommandsAnswerWhatGetShows_C6(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root := s.admin()
	root.product("KETTLE", 100)
	body := orderWithEverything(t)
	wholeRequest(t, s, body)

	placed := 0
	place := func() string {
		placed++
		body["reference"] = fmt.Sprint("PO-", placed)
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		order := root.want(201, "POST", "/v1/orders", string(raw))
		for name, sent := range body {
			if shown := order.body[name]; name != "items" && name != "expectedTotal" && !reflect.DeepEqual(shown, sent) {
				t.Errorf("%s was sent as %v, and the order shows %v", name, sent, shown)
			}
		}
		id := order.text("id")
		root.becomes(id, "PROCESSING")
		return id
	}
	same := func(id, method, path, body string) {
		t.Helper()
		answered := root.want(200, method, "/v1/orders/"+id+path, body)
		shown := root.want(200, "GET", "/v1/orders/"+id, "")
		if answered.header.Get("ETag") != shown.header.Get("ETag") {
			t.Logf("%s %s: the order has changed since", method, path) // a job was faster
			return
		}
		if !bytes.Equal(answered.raw, shown.raw) {
			t.Errorf("%s %s answers\n%s\nGET\n%s", method, path, answered.raw, shown.raw)
		}
	}
	shipped := place()
	same(shipped, "POST", "/hold", `{"reason":"look"}`)
	same(shipped, "POST", "/release", "")
	same(shipped, "PATCH", "/status", `{"status":"SHIPPED","tracking":"1Z","reason":"packed"}`)
	same(shipped, "PATCH", "/status", `{"status":"COMPLETED"}`)
	same(place(), "POST", "/cancel", `{"reason":"changed my mind"}`)
}

// orderWithEverything is a request with every member that the documented example of an
// order has, which is where the example of a new member stands already.
func orderWithEverything(t *testing.T) map[string]any {
	t.Helper()
	kinds := orders.Kinds()
	created := kinds[slices.IndexFunc(kinds, func(k events.Kind) bool { return k.Type == lifecycle.EventCreated })]
	raw, err := json.Marshal(created.Data)
	var example struct{ Order map[string]any }
	if err := errors.Join(err, json.Unmarshal(raw, &example)); err != nil {
		t.Fatal(err)
	}
	body := map[string]any{
		"items":         []any{map[string]any{"sku": "KETTLE", "quantity": 2}},
		"expectedTotal": map[string]any{"amount": 500, "currency": "EUR"},
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[orders.OrderRequest]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if value := example.Order[name]; name != "items" && value != nil {
			body[name] = value
		}
	}
	return body
}

// wholeRequest fails unless an order's request sets every member that there is.
func wholeRequest(t *testing.T, s *server, sent map[string]any) {
	t.Helper()
	document := s.anonymous().want(200, "GET", "/openapi.json", "")
	schema := resolve(document.body, document.at("paths./v1/orders.post.requestBody.content.application/json.schema"))
	properties, _ := schema["properties"].(map[string]any)
	if len(properties) == 0 {
		t.Fatalf("the request has no properties: %v", schema)
	}
	for name := range properties {
		if _, set := sent[name]; !set {
			t.Errorf("the example of an order in modules/orders (someGiven, someOrder) does not set %s", name)
		}
	}
}

// resolve follows a reference within a document.
func resolve(document map[string]any, schema any) map[string]any {
	found, _ := schema.(map[string]any)
	ref, isRef := found["$ref"].(string)
	if !isRef {
		return found
	}
	var at any = document
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		members, _ := at.(map[string]any)
		at = members[name]
	}
	return resolve(document, at)
}
