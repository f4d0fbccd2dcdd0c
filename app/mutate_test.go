package app

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

// sketch makes examples with every member that a schema knows, or with those alone that it
// requires.
type sketch struct {
	doc   *description
	given func(pointer, name string) (text string, ok bool) // "" leaves the member out
	least bool
}

func (s sketch) of(pointer, name string, is schema) any {
	is = s.doc.resolve(is)
	if text, ok := s.given(pointer, name); ok {
		return verbatim(text)
	}
	switch {
	case len(is.Examples) > 0:
		return written(is.Examples[0])
	case len(is.Enum) > 0:
		return written(is.Enum[0])
	}
	switch kind(is.Type) {
	case "object":
		o := jsonObject{}
		for _, name := range slices.Sorted(maps.Keys(is.Properties)) {
			if s.least && !slices.Contains(is.Required, name) {
				continue
			}
			if v := s.of(pointer+"/"+name, name, is.Properties[name]); v != verbatim("") {
				o = append(o, jsonMember{name, v})
			}
		}
		if len(is.Properties) == 0 {
			o = jsonObject{{"anything", verbatim("1")}}
		}
		return o
	case "array":
		return jsonArray{s.of(pointer+"/0", "", *is.Items)}
	}
	return written(s.doc.value(name, is))
}

func (d *description) resolve(s schema) schema {
	for s.Ref != "" {
		s = d.Components.Schemas[s.Ref[strings.LastIndex(s.Ref, "/")+1:]]
	}
	return s
}

func written(v any) verbatim {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return verbatim(raw)
}

// place is somewhere in a body where a fault can be put.
type place struct {
	path []string
	is   schema
}

func (p place) pointer() string {
	if len(p.path) == 0 {
		return ""
	}
	return "/" + strings.Join(p.path, "/")
}

func (p place) name() string {
	if len(p.path) == 0 {
		return ""
	}
	return p.path[len(p.path)-1]
}

func (p place) isObject() bool { return kind(p.is.Type) == "object" }

// places walks an example beside its schema, from the whole body inwards.
func (d *description) places(v any, is schema, path ...string) []place {
	is = d.resolve(is)
	list := []place{{slices.Clone(path), is}}
	switch v := v.(type) {
	case jsonObject:
		for _, m := range v {
			list = append(list, d.places(m.value, is.Properties[m.name], append(path, m.name)...)...)
		}
	case jsonArray:
		list = append(list, d.places(v[0], *is.Items, append(path, "0")...)...)
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
	{"many items", `[` + strings.Repeat(`1,`, 1000) + `1]`, "array"},
	{"empty object", `{}`, "object"}, {"object in object", `{"a":{"b":{}}}`, "object"},

	{"zero", `0`, "integer"}, {"minus zero", `-0`, "integer"}, {"minus one", `-1`, "integer"}, {"2^63-1", `9223372036854775807`, "integer"},
	{"1.0", `1.0`, "integer"}, {"1.5", `1.5`, "fraction"}, {"1e3", `1e3`, "integer"}, {"1e-400", `1e-400`, "fraction"},
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

	{"before all time", `"0000-01-01T00:00:00Z"`, "string"}, {"year 10000", `"9999-12-31T23:59:59.999-23:59"`, "string"}, {"no such day", `"2026-02-30T00:00:00Z"`, "string"},
	{"urn", `"urn:uuid:0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11"`, "string"},

	{"deep arrays", strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000), "broken"},
	{"deep objects", strings.Repeat(`{"a":`, 10_000) + `1` + strings.Repeat(`}`, 10_000), "broken"},
}

// fits tells whether a place takes the value, as far as its type goes.
func (v value) fits(p place) bool {
	switch v.kind {
	case "broken", "huge":
		return false
	case "nul": // passwords reach no column, and hold any character (A1)
		return strings.Contains(strings.ToLower(p.name()), "password")
	}
	types, several := p.is.Type.([]any)
	if !several {
		types = []any{p.is.Type}
	}
	return p.is.Type == nil || slices.Contains(types, any(v.kind))
}
