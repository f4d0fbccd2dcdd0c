package app

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/orderflow-dev/orderflow/platform/web"
)

// envelopes are bodies that no route looks into: of a kind, a coding or a size that
// is not taken. ASVS 5.0 5.2.1, 5.2.3 and 15.2.2, API4:2023.
func (p *probe) envelopes() (list []attempt) {
	for _, kind := range []string{
		"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "text/xml", "text/plain", "text/json",
		"application/json; charset=utf-16", "application/json; charset=utf-7", "application/json; charset=", "application/json, text/plain",
		"application/merge-patch+json", "application/jsonx", "json", "*/*", ";", "application/json; charset=utf-8; charset=latin1",
	} {
		list = append(list, attempt{name: kind, body: p.good, headers: []string{"Content-Type: " + kind}, want: []int{415}})
	}
	list = append(list,
		attempt{name: "no media type", body: p.good, headers: []string{"Content-Type"}, want: []int{415}},
		attempt{name: "empty media type", body: p.good, headers: []string{"Content-Type: "}, want: []int{415}},
	)
	for _, coding := range []string{"gzip", "GZIP", "br", "identity, gzip"} {
		list = append(list, attempt{name: "a bomb: " + coding, body: bomb, headers: []string{"Content-Encoding: " + coding}, want: []int{415}})
	}
	return append(p.some(list), attempt{name: "too large", body: p.padded(1), want: []int{413}})
}

// some is a third of the attempts, another one for the next route: what refuses them
// is one piece of code for all.
func (p *probe) some(all []attempt) (list []attempt) {
	for i, try := range all {
		if i%3 == p.n%3 {
			list = append(list, try)
		}
	}
	return list
}

// good is a body that would be let through, or any when the route takes none.
func (p *probe) good() string {
	if p.body.Type == nil {
		return `{}`
	}
	return textOf(p.fresh())
}

// padded is so many bytes beyond the limit of the route.
func (p *probe) padded(beyond int) func() string {
	return func() string {
		body := p.good()
		return body + strings.Repeat(" ", max(p.r.MaxBody, web.BodyLimit)+beyond-len(body))
	}
}

// bomb is 16 MiB of white space in 16 KiB.
var bomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(bytes.Repeat([]byte(" "), 16<<20))
	_ = w.Close()
	return b.String()
})

// bodies are those with a fault inside.
func (p *probe) bodies() (list []attempt) {
	if p.body.Type == nil {
		return nil
	}
	list = p.texts()
	for _, without := range p.variants() {
		p.without = without
		places := p.doc.places(p.fresh(), p.body)
		list = append(list, p.valuesAt(places, without)...)
		for _, at := range places {
			if at.isObject() {
				list = append(list, p.membersAt(at, without)...)
			}
		}
	}
	return list
}

// variants are the members that examples leave out, one after the other.
func (p *probe) variants() []string {
	if list, some := exclusive[p.r.Method+" "+p.r.Path]; some {
		return list
	}
	return []string{""}
}

// texts are no JSON, or more than that (ASVS 5.0 1.5.3, RFC 8259).
func (p *probe) texts() []attempt {
	malformed := map[string]func(good string) string{
		"cut":             func(good string) string { return good[:len(good)-1] },
		"twice":           func(good string) string { return good + good },
		"two lines":       func(good string) string { return good + "\n" + good },
		"something after": func(good string) string { return good + " x" },
		"NUL after":       func(good string) string { return good + "\x00" },
		"NUL":             func(string) string { return "\x00" },
		"byte order mark": func(good string) string { return "\ufeff" + good },
		"UTF-16":          func(good string) string { return "\xff\xfe" + strings.Join(strings.Split(good, ""), "\x00") + "\x00" },
		"comment":         func(good string) string { return "// x\n" + good },
		"comma":           func(good string) string { return good[:len(good)-1] + ",}" },
		"brackets":        func(good string) string { return "[" + good + "}" },
		"form":            func(string) string { return "items=1&items=2" },
		"XML": func(string) string {
			return `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>`
		},
		"JSON with names": func(string) string { return `{items:1}` },
		"no word":         func(string) string { return `nul` },
		"prefix":          func(good string) string { return ")]}'\n" + good },
		"white space":     func(string) string { return " \t\r\n" },
		"other spaces":    func(good string) string { return "\u00a0" + good + "\u2028" },
		"deep":            func(string) string { return strings.Repeat("[", 100_000) },
	}
	var list []attempt
	for _, name := range slices.Sorted(maps.Keys(malformed)) {
		change := malformed[name]
		list = append(list, attempt{name: name, body: func() string { return change(p.good()) }, want: []int{400}})
	}
	empty := attempt{name: "nothing"}
	if p.op.RequestBody.Required {
		empty.want = []int{400}
	}
	large := attempt{name: "as large as may be, but cut", body: func() string { return p.padded(1)()[1:] }, want: []int{400}}
	return append(p.some(list), empty, large)
}

// valuesAt puts values where something else is expected: the first of each kind in
// every place, the others in one place of each type, in turn. Where something is no
// JSON does not matter, so one place will do.
func (p *probe) valuesAt(places []place, without string) (list []attempt) {
	alike := map[string][]place{}
	for _, at := range places {
		alike[kind(at.is.Type)] = append(alike[kind(at.is.Type)], at)
	}
	var broken []attempt
	seen := map[string]bool{}
	for i, v := range values {
		if !seen[v.kind] {
			seen[v.kind] = true
			for _, at := range places {
				list = append(list, p.valueAt(v, at, without))
			}
			continue
		}
		if v.kind == "broken" {
			broken = append(broken, p.valueAt(v, places[i%len(places)], without))
			continue
		}
		for _, these := range alike {
			list = append(list, p.valueAt(v, these[i%len(these)], without))
		}
	}
	return append(list, p.some(broken)...)
}

func (p *probe) valueAt(v value, at place, without string) attempt {
	try := attempt{name: v.name + " at " + at.pointer(), body: p.changed(at, without, func(any) any { return verbatim(v.text) })}
	switch {
	case v.kind == "broken":
		try.want = []int{http.StatusBadRequest}
	case !v.fits(at):
		try.want, try.pointer = []int{http.StatusUnprocessableEntity}, at.pointer()
	}
	return try
}

// membersAt takes members of an object away, and gives it more (API3:2023, API6:2019
// mass assignment, ASVS 5.0 15.3.3).
func (p *probe) membersAt(at place, without string) (list []attempt) {
	add := func(what, name string, status int, change func(o jsonObject) any) {
		try := attempt{
			name: what + " in " + at.pointer(), want: []int{status}, pointer: at.pointer() + "/" + name,
			body: p.changed(at, without, func(v any) any { return change(v.(jsonObject)) }),
		}
		list = append(list, try)
	}
	for _, name := range at.is.Required {
		add("no "+name, name, 422, func(o jsonObject) any {
			return slices.DeleteFunc(slices.Clone(o), func(m jsonMember) bool { return m.name == name })
		})
	}
	more := func(name string, value any) func(jsonObject) any {
		return func(o jsonObject) any { return append(slices.Clone(o), jsonMember{name, value}) }
	}
	again := func(name string) func(jsonObject) any {
		return func(o jsonObject) any { return more(name, o[0].value)(o) }
	}
	first := p.firstIn(at)
	add("a duplicate", first, 400, again(first))
	add("an escaped duplicate", first, 400, again(fmt.Sprintf(`\u%04x`, first[0])+first[1:]))
	if at.is.AdditionalProperties == true {
		return list
	}
	add("another case", strings.ToUpper(first), 422, again(strings.ToUpper(first)))
	for i, name := range []string{"unknown", "id", "userId", "role", "__proto__", "$schema", "", "constructor.prototype", "é", "items[0]"} {
		if _, known := at.is.Properties[name]; !known && i%3 == p.n%3 {
			add("the unknown "+name, name, 422, more(name, verbatim("1")))
		}
	}
	add("a slash", "a~1b~0c", 422, more("a/b~c", verbatim("1")))
	return list
}

// firstIn is the name of the first member of an object.
func (p *probe) firstIn(at place) (name string) {
	with(p.fresh(), at.path, func(v any) any {
		name = v.(jsonObject)[0].name
		return v
	})
	return name
}

// changed makes an example in which something is another.
func (p *probe) changed(at place, without string, change func(any) any) func() string {
	return func() string {
		p.without = without
		return textOf(with(p.fresh(), at.path, change))
	}
}
