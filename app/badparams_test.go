package app

import (
	"strings"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// parameters are bad ones, in the path, the query and the headers (ASVS 5.0 1.1.1,
// 2.2.1, 4.1.1; API8:2023). Every route has at least one that it does not know.
func (p *probe) parameters() (list []attempt) {
	list = p.some(p.queries())
	for _, param := range p.op.Parameters {
		switch param.In {
		case "path":
			list = append(list, p.some(p.pathsAt(param.Name, param.Schema))...)
		case "query":
			list = append(list, p.queriesAt(param.Name, param.Schema)...)
		case "header":
			list = append(list, p.headersAt(param.Name)...)
		}
	}
	return append(list, p.some(p.strangers())...)
}

var long = strings.Repeat("x", 5000)

// pathsAt names things in ways that no id has.
func (p *probe) pathsAt(name string, is schema) (list []attempt) {
	const id = "0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11"
	for _, bad := range []string{
		"nothing", "10", "-1", "null", "undefined", "NaN", "true", "%7Bid%7D", "*", "%2a", "'%20or%20'1'='1", "%27;--", "$ne", long, id + "0", id[1:], id + "%20", "%20" + id,
		strings.ReplaceAll(id, "-", "_"), "%2e%2e", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..;", "a%2fb", "a%5cb", "%3f", "%23", "%25", "%252e", "a%0d%0aX:%20y", "%e2%80%ae", "\u202e", "😀",
	} {
		want := []int{400}
		if is.Format != "uuid" {
			want = []int{400, 404}
		}
		list = append(list, p.pathAt(name, bad, want...))
	}
	for _, bad := range []string{"%00", id + "%00", "%ff", "%c0%80", "%ed%a0%80", "%", "%z", "%zz", "%u0041", "a%0"} {
		list = append(list, p.pathAt(name, bad, 400))
	}
	for _, other := range []string{"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", strings.ToUpper(id), id} {
		try := p.pathAt(name, other, 400, 404, 409, 422)
		try.pointer = ""
		list = append(list, try)
	}
	return list
}

func (p *probe) pathAt(name, value string, want ...int) attempt {
	before, after, _ := strings.Cut(p.r.Path, "{"+name+"}")
	try := attempt{name: "path " + value, body: p.bodyIfAny(), path: func(string) string { return before + value + after }, want: want}
	if len(want) == 1 {
		try.pointer = "/path/" + name
	}
	return try
}

// bodyIfAny keeps a fault of a parameter the only one.
func (p *probe) bodyIfAny() func() string {
	if p.body.Type == nil {
		return nil
	}
	return p.good
}

// queries are invalid for every route.
func (p *probe) queries() (list []attempt) {
	for _, query := range []string{
		"unknown=1", "unknown", "unknown=1&unknown=2", "a%2fb=1", "__proto__[x]=1", "id=1", "=1", "%00=1", "%ff=1", "%zz", "x=%zz", "a;b", "%", "&unknown&", long + "=1", strings.Repeat("a=1&", 2000),
	} {
		list = append(list, p.queryAt(query, "/query", 400))
	}
	return list
}

func (p *probe) queriesAt(name string, is schema) (list []attempt) {
	is = p.doc.resolve(is)
	many := kind(is.Type) == "array"
	if many {
		is = p.doc.resolve(*is.Items)
	}
	if name == "ticket" {
		return nil // a credential: it is refused before anything is read
	}
	pointer := "/query/" + name
	free := kind(is.Type) == "string" && (is.Format == "" || is.Format == "words") && len(is.Enum) == 0
	for _, value := range []string{
		"", "x", "-1", "1.5", "%2b1e9", "9223372036854775808", strings.Repeat("9", 1000), "%27--", "%25", "_", "\\", "%e2%80%ae", "%F0%9F%98%80%cc%81", "2026-02-30T00:00:00Z",
	} {
		try := p.queryAt(name+"="+value, "")
		if !free {
			try.want, try.pointer = []int{400}, pointer
		}
		list = append(list, try)
	}
	list = p.some(list)
	for _, value := range []string{"%00", "a%00b", "%ff", "%ed%a0%80", "%c0%80"} {
		list = append(list, p.queryAt(name+"="+value, pointer, 400))
	}
	for _, value := range []string{"0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "00000000-0000-0000-0000-000000000000", "1"} {
		list = append(list, p.queryAt(name+"="+value, ""))
	}
	if !free || is.MaxLength != nil {
		list = append(list, p.queryAt(name+"="+long, pointer, 400))
	}
	if !many {
		list = append(list, p.queryAt(name+"=1&"+name+"=2", pointer, 400))
	}
	return append(list,
		p.queryAt(name+"=%zz", "/query", 400), p.queryAt(name+"[]=1", pointer+"[]", 400),
		p.queryAt(strings.ToUpper(name)+"=1", "/query/"+strings.ToUpper(name), 400))
}

func (p *probe) queryAt(query, pointer string, want ...int) attempt {
	return attempt{
		name: "query " + query, body: p.bodyIfAny(), want: want, pointer: pointer,
		path: func(good string) string {
			if strings.Contains(good, "?") {
				return good + "&" + query
			}
			return good + "?" + query
		},
	}
}

// headersAt are those that a route reads.
func (p *probe) headersAt(name string) (list []attempt) {
	for _, value := range []string{"", " ", "a b", "é", "\xff", `"`, `W/"`, "*, *", `"1", "2"`, long[:300], strings.Repeat(`"1",`, 1000), "%00", "-1"} {
		try := attempt{name: name + " " + value, body: p.bodyIfAny(), headers: []string{name + ": " + value}}
		if name == "Idempotency-Key" && (value == "" || value == "\xff" || strings.ContainsAny(value, " é") || len(value) > 255) {
			try.want, try.pointer = []int{400}, "/header/"+name
		}
		list = append(list, try)
	}
	list = p.some(list)
	twice := attempt{name: name + " twice", body: p.bodyIfAny(), headers: []string{name + ": a", name + ": b"}}
	if !strings.HasPrefix(name, "If-") {
		twice.want, twice.pointer = []int{400}, "/header/"+name
	}
	return append(list, twice)
}

// strangers are headers that every request may have.
func (p *probe) strangers() (list []attempt) {
	for _, h := range []string{
		"Accept: \xff", "Accept: application/xml;q=2", "Accept-Encoding: gzip;q=x", "Accept-Language: " + long, "X-Request-Id: " + long, "X-Request-Id: \xff",
		"Traceparent: 00-x", "Traceparent: 00-" + strings.Repeat("0", 32) + "-" + strings.Repeat("0", 16) + "-ff", "Tracestate: " + long, "X-Forwarded-For: ,,\xff," + long,
		"X-Http-Method-Override: DELETE", "Origin: null", "Cookie: a=\xff; a", "Range: bytes=9-1,0-", "If-Modified-Since: never", "Forwarded: for=\xff",
		"X-Original-Url: /v1/users", "Expect: something", "Connection: Content-Length, Authorization", "Upgrade: h2c", "User-Agent: \xff",
	} {
		list = append(list, attempt{name: h, body: p.bodyIfAny(), headers: []string{h}})
	}
	for _, h := range []string{"Authorization: Bearer", "Authorization: Bearer \xff", "Authorization: Bearer " + long, "Authorization: Basic x", "Authorization: Bearer a.b.c", "Authorization: ofk_", "Authorization: Bearer ofk_" + long[:70]} {
		try := attempt{name: h, body: p.bodyIfAny(), headers: []string{h}}
		if p.r.Role != identity.Anyone {
			try.want = []int{401}
		}
		list = append(list, try)
	}
	return list
}
