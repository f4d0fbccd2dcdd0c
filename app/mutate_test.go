package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A JSON text with room for faults: an ordered object, in which a name may stand
// twice, an array, or text as it is.
type (
	jsonObject []jsonMember
	jsonMember struct {
		name  string // as it is between the quotes
		value any
	}
	jsonArray []any
	verbatim  string
)

func textOf(v any) string {
	switch v := v.(type) {
	case jsonObject:
		parts := make([]string, len(v))
		for i, m := range v {
			parts[i] = `"` + m.name + `":` + textOf(m.value)
		}
		return "{" + strings.Join(parts, ",") + "}"
	case jsonArray:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = textOf(item)
		}
		return "[" + strings.Join(parts, ",") + "]"
	default:
		return string(v.(verbatim))
	}
}

// shapes makes examples from the schemas of a document.
type shapes struct {
	document map[string]any
	given    map[string]string // values for members by name, as JSON; %d is a number that rises
	made     int
}

func (s *shapes) resolve(schema map[string]any) map[string]any {
	for {
		ref, ok := schema["$ref"].(string)
		if !ok {
			return schema
		}
		schema = s.document["components"].(map[string]any)["schemas"].(map[string]any)[strings.TrimPrefix(ref, "#/components/schemas/")].(map[string]any)
	}
}

// example has every member that the schema knows.
func (s *shapes) example(name string, schema map[string]any) any {
	schema = s.resolve(schema)
	if value, ok := s.given[name]; ok {
		s.made++
		return verbatim(strings.ReplaceAll(value, "%d", strconv.Itoa(s.made)))
	}
	if list, ok := schema["examples"].([]any); ok && len(list) > 0 {
		return written(list[0])
	}
	if list, ok := schema["enum"].([]any); ok {
		return written(list[0])
	}
	switch kinds := typesOf(schema); {
	case kinds["object"]:
		properties, _ := schema["properties"].(map[string]any)
		o := jsonObject{}
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			o = append(o, jsonMember{name, s.example(name, properties[name].(map[string]any))})
		}
		if len(o) == 0 {
			o = jsonObject{{"anything", verbatim("1")}}
		}
		return o
	case kinds["array"]:
		return jsonArray{s.example("", schema["items"].(map[string]any))}
	case kinds["integer"]:
		return verbatim("1")
	case kinds["boolean"]:
		return verbatim("true")
	case schema["format"] == "uuid":
		return verbatim(`"0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11"`)
	case schema["format"] == "date-time":
		return verbatim(`"2026-01-31T12:00:00Z"`)
	}
	return verbatim(`"some text"`)
}

func written(v any) verbatim {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return verbatim(raw)
}

func typesOf(schema map[string]any) map[string]bool {
	kinds := map[string]bool{}
	switch t := schema["type"].(type) {
	case string:
		kinds[t] = true
	case []any:
		for _, one := range t {
			kinds[one.(string)] = true
		}
	}
	return kinds
}

// place is somewhere in a body where a fault can be put.
type place struct {
	path     []string
	name     string
	kinds    map[string]bool // empty: anything goes
	required []string
	open     bool // an object that takes members of any name
}

func (p place) pointer() string {
	if len(p.path) == 0 {
		return ""
	}
	return "/" + strings.Join(p.path, "/")
}

// places walks an example beside its schema, from the whole body inwards.
func (s *shapes) places(v any, schema map[string]any, path ...string) (list []place) {
	schema = s.resolve(schema)
	p := place{path: slices.Clone(path), kinds: typesOf(schema), open: schema["additionalProperties"] == true}
	if len(path) > 0 {
		p.name = path[len(path)-1]
	}
	if required, ok := schema["required"].([]any); ok {
		for _, name := range required {
			p.required = append(p.required, name.(string))
		}
	}
	list = append(list, p)
	switch v := v.(type) {
	case jsonObject:
		properties, _ := schema["properties"].(map[string]any)
		for _, m := range v {
			inner, ok := properties[m.name].(map[string]any)
			if !ok {
				inner = map[string]any{}
			}
			list = append(list, s.places(m.value, inner, append(path, m.name)...)...)
		}
	case jsonArray:
		list = append(list, s.places(v[0], schema["items"].(map[string]any), append(path, "0")...)...)
	}
	return list
}

// with is a copy of v in which what stands at the path is another.
func with(v any, path []string, change func(any) any) any {
	if len(path) == 0 {
		return change(v)
	}
	switch v := v.(type) {
	case jsonObject:
		v = slices.Clone(v)
		for i, m := range v {
			if m.name == path[0] {
				v[i].value = with(m.value, path[1:], change)
			}
		}
		return v
	case jsonArray:
		i, err := strconv.Atoi(path[0])
		if err != nil {
			panic(err)
		}
		v = slices.Clone(v)
		v[i] = with(v[i], path[1:], change)
		return v
	}
	panic(fmt.Sprint("nothing at ", path))
}

// value is something to put where something else is expected.
type value struct {
	name, text string
	// null, boolean, integer, fraction, string, array or object; or huge, a number
	// that nothing holds; nul, text that no column holds; broken, not JSON at all
	kind string
}

var values = []value{
	{"null", `null`, "null"}, {"true", `true`, "boolean"},
	{"empty text", `""`, "string"}, {"blank", `"  "`, "string"}, {"text", `"x"`, "string"}, {"number as text", `"1"`, "string"},
	{"empty array", `[]`, "array"}, {"arrays", `[[[]]]`, "array"}, {"array of null", `[null]`, "array"},
	{"many items", `[` + strings.Repeat(`1,`, 10_000) + `1]`, "array"},
	{"empty object", `{}`, "object"}, {"object in object", `{"a":{"b":{}}}`, "object"},

	{"zero", `0`, "integer"}, {"minus zero", `-0`, "integer"}, {"minus one", `-1`, "integer"}, {"2^63-1", `9223372036854775807`, "integer"},
	{"1.0", `1.0`, "fraction"}, {"1.5", `1.5`, "fraction"}, {"1e3", `1e3`, "fraction"}, {"1e-400", `1e-400`, "fraction"},
	{"1e400", `1e400`, "huge"}, {"-1e400", `-1e400`, "huge"}, {"2^63", `9223372036854775808`, "integer"},
	{"-2^63-1", `-9223372036854775809`, "huge"}, {"2^64", `18446744073709551616`, "huge"}, {"10,000 digits", strings.Repeat("9", 10_000), "huge"},
	{"NaN", `NaN`, "broken"}, {"Infinity", `-Infinity`, "broken"}, {"hexadecimal", `0x10`, "broken"}, {"leading zero", `01`, "broken"},
	{"plus", `+1`, "broken"}, {"no digit before", `.5`, "broken"}, {"no digit behind", `1.`, "broken"},

	{"NUL", `"a\u0000b"`, "nul"},
	{"lone high surrogate", `"\ud800"`, "broken"}, {"lone low surrogate", `"\udc00x"`, "broken"}, {"pair the wrong way", `"\udc00\ud800"`, "broken"},
	{"not UTF-8", "\"\xff\"", "broken"}, {"overlong UTF-8", "\"\xc0\x80\"", "broken"}, {"surrogate in UTF-8", "\"\xed\xa0\x80\"", "broken"},
	{"beyond Unicode", "\"\xf4\x90\x80\x80\"", "broken"}, {"raw line break", "\"a\nb\"", "broken"}, {"raw NUL", "\"a\x00b\"", "broken"},
	{"escape of Go", `"\x41"`, "broken"}, {"escape cut", `"\u12"`, "broken"}, {"quotes of JavaScript", `'x'`, "broken"}, {"open quote", `"x`, "broken"},
	{"direction marks", `"\u202e\u2066x\u200f"`, "string"}, {"invisible", `"\u200b\ufeff\u00ad"`, "string"}, {"controls", `"\u0001\u001b[31m\u007f\u0085"`, "string"},
	{"no characters", `"\uffff\ufdd0"`, "string"}, {"line breaks", `"a\r\nSet-Cookie: b=c"`, "string"}, {"combining marks", `"a` + strings.Repeat("\u0301", 1000) + `"`, "string"},
	{"SQL", `"'; drop table users; --"`, "string"}, {"template", `"{{7*7}}${jndi:ldap://x}%s%n"`, "string"}, {"long", `"` + strings.Repeat("x", 50_000) + `"`, "string"},

	{"deep arrays", strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000), "broken"},
	{"deep objects", strings.Repeat(`{"a":`, 10_000) + `1` + strings.Repeat(`}`, 10_000), "broken"},
}

// fits tells whether a place takes the value, as far as its kind goes.
func (v value) fits(p place) bool {
	switch v.kind {
	case "broken", "huge":
		return false
	case "nul": // passwords reach no column, and hold any character (A1)
		return p.name == "password" || p.name == "currentPassword" || p.name == "newPassword"
	}
	return len(p.kinds) == 0 || p.kinds[v.kind] || p.open && v.kind == "object"
}
