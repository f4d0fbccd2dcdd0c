package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/orderflow-dev/orderflow/internal/golden"
	"github.com/orderflow-dev/orderflow/modules/notifications"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// frames are the schemas of all that goes out, as strict as they can be: a member that
// is not described fits nothing.
var frames = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	n := notifications.New(notifications.Deps{
		Tail: events.NewTail(nil, slog.Default()), Kinds: orders.Kinds(), Metrics: prometheus.NewRegistry(), Log: slog.Default(),
	})
	raw, err := n.AsyncAPI("test", "")
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	closed(doc)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("asyncapi.json", doc); err != nil {
		return nil, err
	}
	all := map[string]*jsonschema.Schema{}
	for name := range doc.(map[string]any)["components"].(map[string]any)["messages"].(map[string]any) {
		if all[name], err = c.Compile("asyncapi.json#/components/messages/" + name + "/payload"); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// closed refuses members that an object does not describe, but for the caller's own.
func closed(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, described := v["properties"].(map[string]any); described && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closed(inner)
		}
	case []any:
		for _, inner := range v {
			closed(inner)
		}
	}
}

// fits checks a frame against /asyncapi.json (SPEC F5).
func fits(t *testing.T, raw []byte) {
	t.Helper()
	all, err := frames()
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Errorf("%v: %s", err, raw)
		return
	}
	kind, _ := value.(map[string]any)["type"].(string)
	schema, described := all[kind]
	if !described {
		t.Errorf("a frame that is not described: %s", raw)
	} else if err := schema.Validate(value); err != nil {
		t.Errorf("%s does not fit its description: %v\n%s", kind, err, raw)
	}
}

// F5: the description is AsyncAPI 3, every reference leads somewhere, every event
// type has its messages, its example and its schema, and they agree.
func TestAsyncAPI(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	a, err := s.anonymous().try("GET", "/asyncapi.json", "")
	if err != nil || a.status != 200 {
		t.Fatal(a.status, err)
	}
	if a.body["asyncapi"] != "3.0.0" {
		t.Error(a.body["asyncapi"])
	}
	references(t, a.body, a.body, "#")

	for _, k := range orders.Kinds() {
		raw, err := notifications.Example(k)
		if err != nil {
			t.Fatal(err)
		}
		fits(t, raw)

		res, err := s.anonymous().try("GET", "/schemas/"+k.Type, "")
		if err != nil || res.status != 200 || res.header.Get("Content-Type") != "application/schema+json" {
			t.Fatal(k.Type, res.status, res.header, err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(res.raw))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("/schemas/"+k.Type, schema); err != nil {
			t.Fatal(err)
		}
		alone, err := c.Compile("/schemas/" + k.Type)
		if err != nil {
			t.Fatal(k.Type, err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		value.(map[string]any)["addedLater"] = true
		if err := alone.Validate(value); err != nil {
			t.Errorf("%s: a member that was added later breaks it: %v", k.Type, err)
		}
		delete(value.(map[string]any), "cursor")
		if alone.Validate(value) == nil {
			t.Errorf("%s: fits without a cursor", k.Type)
		}
	}
}

// references follows every $ref of a document.
func references(t *testing.T, root map[string]any, v any, at string) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			var place any = root
			for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
				inner, _ := place.(map[string]any)
				place = inner[part]
			}
			if place == nil {
				t.Errorf("%s: %s leads nowhere", at, ref)
			}
		}
		for name, inner := range v {
			references(t, root, inner, at+"/"+name)
		}
	case []any:
		for i, inner := range v {
			references(t, root, inner, fmt.Sprint(at, "/", i))
		}
	}
}

// The files under testdata/events are what clients were promised. Members are only
// ever added: what a file has, its event has, with the same type of value; -update
// writes what is new and refuses to take anything away.
func TestEventFiles(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, k := range orders.Kinds() {
		known[k.Type+".json"] = true
		raw, err := notifications.Example(k)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "events", k.Type+".json")
		promised, err := os.ReadFile(path)
		if err == nil {
			for _, gone := range missing(membersOf(t, promised), membersOf(t, raw)) {
				t.Errorf("%s: %s is gone, or of another type", path, gone)
			}
		}
		if t.Failed() {
			continue
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, raw, "", "  "); err != nil {
			t.Fatal(err)
		}
		golden.Check(t, filepath.Join("testdata", "events", k.Type+".json"), pretty.String()+"\n")
	}
	files, err := filepath.Glob("testdata/events/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if !known[filepath.Base(path)] {
			t.Errorf("%s: there are no such events any more", path)
		}
	}
}

// membersOf lists every member of a document with the type of its value.
func membersOf(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	var walk func(v any, at string)
	walk = func(v any, at string) {
		all[at] = fmt.Sprintf("%T", v)
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				walk(inner, at+"/"+name)
			}
		case []any:
			for _, inner := range v {
				walk(inner, at+"/*")
			}
		}
	}
	walk(v, "")
	return all
}

func missing(promised, now map[string]string) (list []string) {
	for _, at := range slices.Sorted(maps.Keys(promised)) {
		if now[at] != promised[at] {
			list = append(list, at)
		}
	}
	return list
}
