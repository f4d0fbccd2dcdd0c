package web

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/orderflow-dev/orderflow/internal/canonical"
)

// Tag is a group of operations in the document.
type Tag struct {
	Name        string `json:"name"`
	Description string `json:"description,omitzero"`
}

// object is a JSON object.
type object = map[string]any

const schemaPrefix = "#/components/schemas/"

// SetSchemas adds JSON Schemas to the document, or replaces those that a route has, such as one for
// a member of type json.RawMessage. They may refer to all schemas under #/components/schemas/. They
// do not take part in the validation of requests. Document calls the function.
func (a *API) SetSchemas(schemas func() (map[string]any, error)) {
	a.schemas = append(a.schemas, schemas)
}

// NameEnum makes the document list the string enum with exactly these values once, under the name.
func (a *API) NameEnum(name string, values ...string) { a.enums[name] = values }

// Document returns the OpenAPI 3.1 description of the API as JSON (SPEC F5, R20 to R24). Call it
// after all routes are registered.
//
// It is stricter than huma's document about requests and more open about responses, so that
// generated clients survive new members:
//   - Schemas of requests allow no other members, those of responses do. A schema that both use
//     becomes two; the one of requests is called, for example, MoneyInput.
//   - An optional member of a request has no default, because generators take it as required.
//   - Every operation has one default response, the problem document, with an example of each code.
//   - A schema with the extension x-schema-name is listed once under this name, and so is an enum of
//     NameEnum.
//   - The description of an operation is one paragraph, and its responses list only headers of their
//     own, because generators repeat both for every method.
func (a *API) Document() ([]byte, error) {
	raw, err := a.OpenAPI().MarshalJSON()
	if err != nil {
		return nil, err
	}
	var doc object
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	for _, more := range a.schemas {
		schemas, err := more()
		if err != nil {
			return nil, err
		}
		plain, err := plainOf(schemas)
		if err != nil {
			return nil, err
		}
		maps.Copy(schemasOf(doc), plain)
	}
	walk(doc, a.nameEnum)
	nameSchemas(doc)
	for _, r := range a.routes {
		op := operationOf(doc, r)
		responses, _ := op["responses"].(object)
		withoutUsualHeaders(responses)
		markStreams(responses)
		responses["default"] = a.problemResponse(r, op)
		if err := r.addExample(op); err != nil {
			return nil, err
		}
	}
	separateRequests(doc)
	removeUnused(doc)
	return a.ordered(doc)
}

// plainOf returns v as encoding/json decodes it.
func plainOf(v any) (plain object, err error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return plain, json.Unmarshal(raw, &plain)
}

func schemasOf(doc object) object {
	components, _ := doc["components"].(object)
	schemas, _ := components["schemas"].(object)
	return schemas
}

func operationOf(doc object, r Route) object {
	paths, _ := doc["paths"].(object)
	item, _ := paths[r.Path].(object)
	op, _ := item[strings.ToLower(r.Method)].(object)
	return op
}

// walk calls visit for every object in v, outer ones first.
func walk(v any, visit func(object)) {
	switch v := v.(type) {
	case object:
		visit(v)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			walk(v[name], visit)
		}
	case []any:
		for _, inner := range v {
			walk(inner, visit)
		}
	}
}

// NameSchemas replaces schemas that have the extension x-schema-name with references, and adds each
// once to the named schemas. It keeps the description and the default beside the
// reference.
func NameSchemas(v any, named map[string]any, prefix string) {
	walk(v, func(o object) {
		name, ok := o[schemaNameKey].(string)
		if !ok {
			return
		}
		schema := maps.Clone(o)
		delete(schema, schemaNameKey)
		delete(schema, "description")
		delete(schema, "default")
		if named[name] == nil {
			named[name] = schema
		}
		maps.DeleteFunc(o, func(key string, _ any) bool { return key != "description" && key != "default" })
		o["$ref"] = prefix + name
	})
}

// schemaNameKey is the extension of a schema that belongs under a name of its own.
const schemaNameKey = "x-schema-name"

// SchemaName returns the extension that lists a schema under a name; see NameSchemas.
func SchemaName(name string) map[string]any { return map[string]any{schemaNameKey: name} }

// nameEnum marks an enum of NameEnum, and describes true and false in a query as a boolean.
func (a *API) nameEnum(schema object) {
	values, _ := schema["enum"].([]any)
	texts := make([]string, 0, len(values))
	for _, v := range values {
		text, _ := v.(string)
		texts = append(texts, text)
	}
	slices.Sort(texts)
	if slices.Equal(texts, []string{"false", "true"}) {
		delete(schema, "enum")
		schema["type"] = "boolean"
	}
	for name, enum := range a.enums {
		enum = slices.Sorted(slices.Values(enum))
		if len(texts) > 0 && slices.Equal(texts, enum) && schema["type"] == "string" {
			schema[schemaNameKey] = name
		}
	}
}

func withoutUsualHeaders(responses object) {
	for _, response := range responses {
		response, _ := response.(object)
		headers, _ := response["headers"].(object)
		for name := range usualHeaders() {
			delete(headers, name)
		}
		if len(headers) == 0 {
			delete(response, "headers")
		}
	}
}

// markStreams tells ogen that a stream is read as it comes: it cannot generate servers of typed
// streams, and generates a server by default.
func markStreams(responses object) {
	for _, response := range responses {
		response, _ := response.(object)
		content, _ := response["content"].(object)
		if stream, ok := content["text/event-stream"].(object); ok {
			stream["x-ogen-raw-response"] = true
		}
	}
}

func nameSchemas(doc object) {
	named := object{}
	NameSchemas(doc, named, schemaPrefix)
	maps.Copy(schemasOf(doc), named)
}

// removeUnused removes the schemas to which nothing refers, and huma's extensions.
func removeUnused(doc object) {
	schemas := schemasOf(doc)
	used := map[string]bool{}
	outside := maps.Clone(doc)
	components, _ := doc["components"].(object)
	others := maps.Clone(components)
	delete(others, "schemas")
	outside["components"] = others
	collect(schemas, outside, used)
	maps.DeleteFunc(schemas, func(name string, _ any) bool { return !used[name] })
}

// collect adds the names of all schemas that v refers to, also indirectly.
func collect(schemas object, v any, used map[string]bool) {
	walk(v, func(o object) {
		ref, _ := o["$ref"].(string)
		name, ok := strings.CutPrefix(ref, schemaPrefix)
		if ok && !used[name] {
			used[name] = true
			collect(schemas, schemas[name], used)
		}
	})
}

// ordered renders the document with tags and paths in the order in which people use them: tags as in
// Options.Tags, and paths in the order in which their routes were registered.
func (a *API) ordered(doc object) ([]byte, error) {
	tags := a.usedTags()
	place := map[string]int{}
	for i, t := range tags {
		place[t.Name] = i
	}
	routes := slices.Clone(a.routes)
	slices.SortStableFunc(routes, func(x, y Route) int { return place[x.Tag] - place[y.Tag] })

	all, _ := doc["paths"].(object)
	var paths members
	for _, r := range routes {
		if item, _ := all[r.Path].(object); item != nil {
			delete(all, r.Path)
			paths = append(paths, member{r.Path, inOrder(item, routes, r.Path)})
		}
	}
	var out members
	for _, name := range []string{"openapi", "info", "servers", "tags", "paths", "components"} {
		switch name {
		case "tags":
			out = append(out, member{name, tags})
		case "paths":
			out = append(out, member{name, paths})
		default:
			out = append(out, member{name, doc[name]})
		}
	}
	return canonical.Marshal(out)
}

// inOrder lists the operations of a path in the order of the routes.
func inOrder(item object, routes []Route, path string) (list members) {
	for _, r := range routes {
		if r.Path == path {
			method := strings.ToLower(r.Method)
			list = append(list, member{method, item[method]})
		}
	}
	return list
}

// usedTags returns the tags that routes have: those of the options first, then others in the order
// of their routes.
func (a *API) usedTags() (list []Tag) {
	used := func(name string) bool {
		return slices.ContainsFunc(a.routes, func(r Route) bool { return r.Tag == name })
	}
	for _, t := range a.tags {
		if used(t.Name) {
			list = append(list, t)
		}
	}
	for _, r := range a.routes {
		known := slices.ContainsFunc(list, func(t Tag) bool { return t.Name == r.Tag })
		if r.Tag != "" && !known {
			list = append(list, Tag{Name: r.Tag, Description: "Operations of " + r.Tag + "."})
		}
	}
	return list
}

// members is a JSON object with an order.
type members []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (m members) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, one := range m {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(one.name)
		if err != nil {
			return nil, err
		}
		value, err := canonical.Marshal(one.value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}
