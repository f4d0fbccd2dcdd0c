package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

const (
	exampleID        = "0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11"
	exampleRequestID = "0192f0c1-4d10-7b52-8a3e-6f1f9c0e2b77"
)

// exampleFields are the errors of single members and parameters in the examples.
var exampleFields = map[string][]fault.Field{
	"malformed": {{Pointer: "/query/limt", Code: "unknown-parameter", Message: "there is no such parameter"}},
	"invalid":   {{Pointer: "/shoe", Code: "unknown-field", Message: "unexpected property"}},
}

// addExample adds the example of the body to the operation.
func (r Route) addExample(op object) error {
	if r.Example == "" {
		return nil
	}
	var value any
	if err := json.Unmarshal([]byte(r.Example), &value); err != nil {
		return fmt.Errorf("the example of %s: %w", r.Name, err)
	}
	body, _ := op["requestBody"].(object)
	content, _ := body["content"].(object)
	media, _ := content["application/json"].(object)
	if media == nil {
		return fmt.Errorf("%s has an example and no body", r.Name)
	}
	media["example"] = value
	return nil
}

// problemResponse describes the errors of the route, with an example of each code.
func (a *API) problemResponse(r Route, op object) object {
	examples, statuses := object{}, []string{}
	for _, p := range a.problems(r, op["requestBody"] != nil) {
		examples[p.Code] = object{"summary": fmt.Sprintf("%d %s", p.Status, p.Title), "value": p}
		if status := fmt.Sprint(p.Status); !slices.Contains(statuses, status) {
			statuses = append(statuses, status)
		}
	}
	return object{
		"description": "An error, with one of the statuses " + strings.Join(statuses, ", ") +
			". 401 has `WWW-Authenticate`, and 429 and 503 have `Retry-After`.",
		"content": object{problemType: object{"schema": object{"$ref": schemaPrefix + "Problem"}, "examples": examples}},
	}
}

// problems returns an example of each error of the route, by status.
func (a *API) problems(r Route, body bool) (list []*Problem) {
	for _, name := range append(r.usualCodes(body), r.Codes...) {
		kind, meaning := a.lookUp(r, name)
		list = append(list, &Problem{
			Type: typeOf(name), Title: http.StatusText(StatusOf(kind)), Status: StatusOf(kind), Detail: meaning,
			Instance: examplePath(r.Path), Code: name, RequestID: exampleRequestID, Errors: exampleFields[name],
		})
	}
	slices.SortStableFunc(list, func(x, y *Problem) int { return x.Status - y.Status })
	return list
}

// usualCodes returns the codes that follow from the other fields of the route.
func (r Route) usualCodes(body bool) []string {
	codes := []string{"malformed", "too-large", "unsupported-media-type", "rate-limited", "internal", "unavailable"}
	add := func(when bool, more ...string) {
		if when {
			codes = append(codes, more...)
		}
	}
	add(r.Role != identity.Anyone, "unauthenticated")
	add(r.Role == identity.Admin, "forbidden")
	add(r.Role != identity.Anyone && r.keyless(), "key-not-allowed")
	add(!r.keyless(), "scope-missing")
	add(r.RecentPassword, "password-confirmation-required")
	add(strings.Contains(r.Path, "{") || slices.Contains(r.Errors, http.StatusNotFound), "not-found")
	add(body, "invalid")
	add(r.Idempotent, "idempotency-key-in-use", "idempotency-key-reused")
	add(slices.Contains(r.Errors, http.StatusPreconditionFailed), "stale")
	add(slices.Contains(r.Errors, http.StatusUpgradeRequired), "upgrade-required")
	return codes
}

// lookUp returns the kind of a code on the route, and the first sentence of its meaning. A code with
// several kinds has the one that is among the route's errors, or else the last one.
func (a *API) lookUp(r Route, name string) (kind fault.Kind, meaning string) {
	for _, c := range append(slices.Clip(a.codes), ErrorCodes().Codes...) {
		if c.Name != name {
			continue
		}
		kind = c.Kinds[len(c.Kinds)-1]
		for _, k := range c.Kinds {
			if slices.Contains(r.Errors, StatusOf(k)) {
				kind = k
			}
		}
		return kind, firstSentence(c.Meaning)
	}
	panic(fmt.Sprintf("web: %s %s: no catalog has the code %q", r.Method, r.Path, name))
}

var markdownLink = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// firstSentence returns the first sentence of a Markdown text as plain text.
func firstSentence(text string) string {
	text = strings.ReplaceAll(markdownLink.ReplaceAllString(text, "$1"), "`", "")
	first, _, more := strings.Cut(text, ". ")
	if more {
		first += "."
	}
	return first
}

// examplePath returns a path with values for its parameters.
func examplePath(pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		switch {
		case !strings.HasPrefix(part, "{"):
		case part == "{sku}":
			parts[i] = "GRINDER-01"
		case part == "{name}":
			parts[i] = "fraud"
		case part == "{number}":
			parts[i] = "1"
		default:
			parts[i] = exampleID
		}
	}
	return strings.Join(parts, "/")
}
