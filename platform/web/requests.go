package web

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// inputSuffix ends the name of a schema for requests if responses have the same schema.
const inputSuffix = "Input"

// separateRequests makes the schemas of requests closed and those of responses open, as the server
// treats them: it rejects unknown members, and later versions add members to responses.
func separateRequests(doc object) {
	schemas := schemasOf(doc)
	requests, responses := map[string]bool{}, map[string]bool{}
	paths, _ := doc["paths"].(object)
	for _, item := range paths {
		for _, op := range item.(object) {
			op, _ := op.(object)
			collect(schemas, op["requestBody"], requests)
			collect(schemas, op["responses"], responses)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		if responses[name] && isObject(schemas[name]) {
			schemas[name+inputSuffix] = clone(schemas[name])
		}
	}
	both := func(name string) bool { return requests[name] && responses[name] && isObject(schemas[name]) }
	for name, schema := range schemas {
		base, input := strings.CutSuffix(name, inputSuffix)
		if input = input && both(base); input || requests[name] && !responses[name] {
			forRequests(schema, both)
		} else {
			OpenSchemas(schema)
		}
	}
	for _, item := range paths {
		for _, op := range item.(object) {
			op, _ := op.(object)
			refer(op["requestBody"], both)
			parameters(op)
		}
	}
}

func isObject(schema any) bool {
	s, _ := schema.(object)
	return s["properties"] != nil
}

func clone(v any) any {
	switch v := v.(type) {
	case object:
		c := make(object, len(v))
		for name, inner := range v {
			c[name] = clone(inner)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, inner := range v {
			c[i] = clone(inner)
		}
		return c
	}
	return v
}

// OpenSchemas allows additional members in all objects of a schema, and replaces the extensions of huma.
func OpenSchemas(schema any) {
	walk(schema, func(o object) {
		if o["additionalProperties"] == false || o["properties"] != nil {
			delete(o, "additionalProperties")
		}
		explainPattern(o)
	})
}

func forRequests(schema any, both func(string) bool) {
	refer(schema, both)
	walk(schema, func(o object) {
		explainPattern(o)
		properties, _ := o["properties"].(object)
		for _, p := range properties {
			if p, ok := p.(object); ok && p["default"] != nil {
				moveDefault(p)
			}
		}
	})
}

// moveDefault moves the default of a member into its description. Generators such as
// openapi-typescript take a member with a default as one that is always present.
func moveDefault(p object) {
	doc, _ := p["description"].(string)
	if !strings.Contains(strings.ToLower(doc), "default") {
		p["description"] = strings.TrimPrefix(fmt.Sprintf("%s; default: %v", doc, p["default"]), "; ")
	}
	delete(p, "default")
}

// refer makes references lead to the variants for requests.
func refer(v any, both func(string) bool) {
	walk(v, func(o object) {
		ref, _ := o["$ref"].(string)
		if name, ok := strings.CutPrefix(ref, schemaPrefix); ok && both(name) {
			o["$ref"] = ref + inputSuffix
		}
	})
}

// explainPattern replaces huma's patternDescription, which OpenAPI does not have.
func explainPattern(schema object) {
	text, _ := schema["patternDescription"].(string)
	delete(schema, "patternDescription")
	if schema["description"] == nil && text != "" {
		schema["description"] = text
	}
}

func parameters(op object) { walk(op["parameters"], explainPattern) }
