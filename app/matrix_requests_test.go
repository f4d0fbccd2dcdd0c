package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/platform/web"
)

// question is a request that would be let through if its asker were.
type question struct {
	method, path, id, body string
	upgrade                bool
}

// question builds one from the OpenAPI document: what is required is there, by the
// first example, enum member or smallest value that its schema allows.
func (m *matrix) question(r web.Route, target string, who *asker) question {
	m.t.Helper()
	q := m.aim(r, target, who)
	person := who.who
	if person == nil || !who.good {
		person = m.a
	}
	if r.RecentPassword {
		m.exec(`update sessions set confirmed_at = now()`) // the matrix may take more than five minutes
	}
	q.body = m.body(r, person)
	return q
}

// aim is a question without its body.
func (m *matrix) aim(r web.Route, target string, who *asker) question {
	m.t.Helper()
	op := m.doc.operation(r)
	q := question{method: r.Method, path: r.Path}
	if before, after, named := strings.Cut(r.Path, "{"); named {
		_, rest, _ := strings.Cut(after, "}")
		q.id = m.thing(r, target, who)
		// What lies within a thing was made with it: a delivery, and a replay of the same id.
		q.path = before + q.id + strings.NewReplacer("{number}", "1000", "{replayId}", q.id, "{name}", heldStep,
			"{sessionId}", q.id, "{keyId}", q.id, "{webhookId}", q.id).Replace(rest)
		if target != "made up" {
			m.within(r, q.id)
		}
	}
	query := op.required(m.doc)
	if target == "userId=another" {
		other := m.b
		if who.who == m.b {
			other = m.a
		}
		query.Set("userId", other.id)
	}
	if len(query) > 0 {
		q.path += "?" + query.Encode()
	}
	_, q.upgrade = op.Responses["101"]
	return q
}

// ask sends it. Of an answer that has no end, such as a stream, the beginning counts.
func (m *matrix) ask(who *asker, q question) answer {
	m.t.Helper()
	a, err := m.try(who, q)
	if err != nil {
		m.t.Fatal(err)
	}
	m.conforms(q.method, q.path, a)
	return a
}

// conforms leaves a table, or lines, to its own tests.
func (m *matrix) conforms(method, path string, a answer) {
	m.t.Helper()
	if kind := a.header.Get("Content-Type"); len(a.raw) == 0 || strings.HasSuffix(kind, "/json") || strings.HasSuffix(kind, "+json") {
		conforms(m.t, m.s.base, method, path, a)
	}
}

var upgrade = map[string]string{
	"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}

// try sends a request with an unchanged path, including its escapes. A header that is
// "Name: value" replaces the usual one, or comes again; without a value there is none.
func (m *matrix) try(who *asker, q question, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(m.t.Context(), q.method, m.s.base, strings.NewReader(q.body))
	if err != nil {
		return answer{}, err
	}
	req.URL.Opaque, req.URL.RawQuery, _ = strings.Cut(q.path, "?")
	if token := who.client(m.s).token; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if q.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.upgrade {
		for name, value := range upgrade {
			req.Header.Set(name, value)
		}
	}
	given := map[string]bool{}
	for _, h := range headers {
		name, value, some := strings.Cut(h, ": ")
		if !given[name] {
			req.Header.Del(name)
		}
		if some {
			req.Header.Add(name, value)
		}
		given[name] = true
	}
	res, err := brief.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, header: res.Header}
	if a.status == http.StatusSwitchingProtocols || strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return a, nil
	}
	if a.raw, err = io.ReadAll(res.Body); err == nil && strings.HasSuffix(res.Header.Get("Content-Type"), "json") {
		_ = json.Unmarshal(a.raw, &a.body) // conforms says what is wrong with it
	}
	return a, err
}

// description is as much of the OpenAPI document as it takes to write requests.
type description struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

type parameter struct {
	Name, In string
	Required bool
	Schema   schema
}

type operation struct {
	Parameters  []parameter
	RequestBody struct {
		Required bool
		Content  map[string]struct{ Schema schema }
	}
	Responses map[string]any
}

type schema struct {
	Ref                  string `json:"$ref"`
	Type                 any
	Format               string
	Enum                 []any
	Examples             []any
	Minimum              *json.Number
	MinLength            int
	MaxLength            *int
	Required             []string
	Properties           map[string]schema
	AdditionalProperties any
	Items                *schema
	AnyOf                []schema
}

func describe(t *testing.T, s *server) *description {
	t.Helper()
	a, err := s.anonymous().try("GET", "/openapi.json", "")
	if err != nil {
		t.Fatal(err)
	}
	var d description
	if err := json.Unmarshal(a.raw, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func (d *description) operation(r web.Route) operation {
	return d.Paths[r.Path][strings.ToLower(r.Method)]
}

func (o operation) has(parameter string) bool {
	for _, p := range o.Parameters {
		if p.Name == parameter && p.In == "query" {
			return true
		}
	}
	return false
}

func (o operation) required(d *description) url.Values {
	query := url.Values{}
	for _, p := range o.Parameters {
		if p.In == "query" && p.Required {
			query.Set(p.Name, fmt.Sprint(d.value(p.Name, p.Schema)))
		}
	}
	return query
}

// value is the least that a schema allows. A name may say more than a schema does.
func (d *description) value(name string, s schema) any {
	s = d.resolve(s)
	switch {
	case name == "sku":
		return "KETTLE"
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.AnyOf) > 0:
		return d.value(name, s.AnyOf[0])
	}
	switch kind(s.Type) {
	case "object":
		out := map[string]any{}
		for _, member := range s.Required {
			out[member] = d.value(member, s.Properties[member])
		}
		return out
	case "array":
		return []any{d.value(name, *s.Items)}
	case "integer", "number":
		if s.Minimum != nil && s.Minimum.String() > "1" {
			return s.Minimum
		}
		return 1
	case "boolean":
		return false
	}
	switch s.Format {
	case "uuid":
		return "0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11"
	case "date-time":
		return "2026-01-31T12:00:00.000Z"
	case "uri":
		return "https://example.com/hook"
	}
	if len(s.Examples) > 0 {
		return s.Examples[0]
	}
	return strings.Repeat("x", max(1, s.MinLength))
}

// kind is the type, whether or not null is one too.
func kind(t any) string {
	if list, ok := t.([]any); ok && len(list) > 0 {
		t = list[0]
	}
	s, _ := t.(string)
	return s
}
