package web

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/internal/words"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// plan describes the input of a route. It is computed once, at registration.
type plan struct {
	path     string
	query    map[string]*huma.Param
	others   []*huma.Param // path and header
	schemas  huma.Registry
	body     *huma.Schema  // nil: the route has no body
	required bool          // the body is required
	limit    int           // of the body, in bytes
	key      *huma.Param   // Idempotency-Key, on routes that take one
	itemwise string        // the pointer of the body's ItemwiseList, or ""
	list     *itemwisePlan // of that ItemwiseList
	check    Check
}

func planOf(op *huma.Operation, schemas huma.Registry) *plan {
	p := &plan{path: op.Path, query: map[string]*huma.Param{}, schemas: schemas, limit: int(op.MaxBodyBytes) - 1}
	p.itemwise, _ = op.Metadata["apart"].(string)
	p.check, _ = op.Metadata[checkKey].(Check)
	for _, param := range op.Parameters {
		switch param.In {
		case "query":
			p.query[param.Name] = param
		case "path", "header":
			p.others = append(p.others, param)
		}
		if idempotent, _ := op.Metadata[idempotentKey].(bool); idempotent && param.Name == idempotencyKey {
			p.key = param
		}
	}
	if op.RequestBody == nil {
		return p
	}
	if media := op.RequestBody.Content["application/json"]; media != nil {
		p.body, p.required = media.Schema, op.RequestBody.Required
		if p.itemwise != "" {
			p.list = apartOf(p.itemwise[1:], schemas, p.body)
		}
	}
	return p
}

// checkQuery finds errors that huma accepts: unknown parameters, repeated ones, empty ones, which
// huma treats as absent, and text that no database column can store.
func (p *plan) checkQuery(r *request) {
	raw := r.c.Request().URI().QueryString()
	if len(raw) == 0 {
		return
	}
	var err error
	r.query, err = url.ParseQuery(string(raw))
	if err != nil {
		r.wrong("/query", "malformed", "the query string is not well-formed")
	}
	for name, values := range r.query {
		pointer := "/query/" + escapePointer(shorten(name))
		param, known := p.query[name]
		switch {
		case !known:
			r.wrong(pointer, "unknown-parameter", "there is no such parameter")
			continue
		case isList(param.Schema):
			values = listed(values)
			r.query[name] = values
		case len(values) > 1:
			r.wrong(pointer, "repeated", "the parameter is given more than once")
		}
		for _, value := range values {
			r.checkText(pointer, value)
			r.checkFormat(pointer, param.Schema, value)
		}
	}
}

// checkValues validates the parameters of untyped routes, which huma does not see: texts and lists
// of texts.
func (p *plan) checkValues(r *request) {
	for name, values := range r.query {
		param, known := p.query[name]
		if !known {
			continue
		}
		value := any(values[0])
		if isList(param.Schema) {
			value = values
		}
		var result huma.ValidateResult
		path := huma.NewPathBuffer([]byte("query."+name), len("query."+name))
		huma.Validate(p.schemas, param.Schema, path, huma.ModeWriteToServer, value, &result)
		for _, err := range result.Errors {
			if detail, ok := errors.AsType[*huma.ErrorDetail](err); ok {
				r.params = append(r.params, paramField(detail))
			}
		}
	}
}

func (p *plan) checkParams(r *request) {
	for _, param := range p.others {
		pointer := "/" + param.In + "/" + escapePointer(param.Name)
		if param.In == "path" {
			value, err := url.PathUnescape(r.c.Params(param.Name))
			if err != nil {
				r.wrong(pointer, "malformed", "the escape sequences are not well-formed")
			}
			r.checkText(pointer, value)
			continue
		}
		lines := r.c.Request().Header.PeekAll(param.Name)
		switch {
		case len(lines) > 1 && !strings.HasPrefix(param.Name, "If-"):
			r.wrong(pointer, "repeated", "the header is given more than once")
		case len(lines) == 1 && len(lines[0]) == 0 && !mayBeEmpty(param.Schema):
			r.wrong(pointer, "invalid", "the value is empty")
		}
		r.checkText(pointer, r.Header(param.Name))
	}
}

// checkBody receives and validates the body. It returns an error for a body that is not JSON.
// Errors in its members are collected, to be reported together with the others. The caller must
// call done at the end of the request.
func (p *plan) checkBody(r *request, large *largeBodies) (done func(), err error) {
	if p.limit > BodyLimit {
		release, err := large.receive(r.c.UserContext(), CallerKey(r.c))
		if err != nil {
			return func() {}, err
		}
		defer release()
	}
	began := time.Now()
	raw, err := p.receive(r)
	done = extendDeadline(r, time.Since(began))
	if err != nil || p.body == nil {
		return done, err
	}
	if len(raw) == 0 {
		if p.required {
			err = fault.New(fault.KindMalformed, "malformed", "A JSON body is required.")
		}
		return done, err
	}
	if p.limit > BodyLimit {
		release, err := large.process(r.c.UserContext(), CallerKey(r.c))
		if err != nil {
			return done, err
		}
		if len(raw) <= BodyLimit {
			defer release()
		} else {
			extended := done
			done = func() { extended(); release() }
		}
	}
	return done, p.validateBody(r, raw)
}

func (p *plan) receive(r *request) (raw []byte, err error) {
	if p.body == nil {
		return nil, dropBody(r.c, p.limit)
	}
	r.raw, err = readBody(r.c, p.limit)
	return r.raw, err
}

func (p *plan) validateBody(r *request, raw []byte) error {
	if p.list != nil {
		found, err := p.split(raw)
		if err == nil {
			r.raw, r.rawItems, r.body, r.more = found.outline, found.items, found.fields, found.more
		}
		return err
	}
	parsed, err := parse(raw, p.limit)
	if err == nil {
		r.body, r.more = validate(p.schemas, p.body, parsed, p.mostFaults())
	}
	return err
}

// extendDeadline extends the deadline of the request by the time that its body took to arrive.
func extendDeadline(r *request, took time.Duration) (done func()) {
	const unnoticed = 10 * time.Millisecond
	ctx := r.c.UserContext()
	end, some := ctx.Deadline()
	if !some || took < unnoticed {
		return func() {}
	}
	ctx, done = context.WithDeadline(context.WithoutCancel(ctx), end.Add(took))
	r.c.SetUserContext(ctx)
	return done
}

func (p *plan) mostFaults() int {
	if p.itemwise != "" {
		return 10 * maxFaults
	}
	return maxFaults
}

func (r *request) wrong(pointer, code, message string) {
	r.params = append(r.params, fault.Field{Pointer: pointer, Code: code, Message: message})
}

func (r *request) checkText(pointer, value string) {
	switch {
	case strings.ContainsRune(value, 0):
		r.wrong(pointer, "nul", "the NUL character is not allowed")
	case !utf8.ValidString(value):
		r.wrong(pointer, "invalid", "the text is not UTF-8")
	}
}

// fault returns the collected errors as one fault, or nil. Errors in parameters take precedence
// over those in the body, because the request did not reach its resource. Errors in the items of an
// ItemwiseList alone do not reject the request.
func (r *request) fault() error {
	r.runCheck()
	all := sortAndDeduplicate(append(r.params, r.body...))
	if r.more {
		all = all[:min(len(all), r.plan.mostFaults())]
	}
	switch {
	case len(all) == 0, len(r.params) == 0 && r.onlyItemFaults():
		return nil
	case len(r.params) > 0:
		f := fault.New(fault.KindMalformed, "malformed", "A parameter is not valid; see errors.")
		f.Fields = all
		return f
	case r.more:
		f := fault.Invalid(all...)
		f.Detail = "The request is well-formed but not valid; errors has some of what is wrong."
		return f
	default:
		return fault.Invalid(all...)
	}
}

func inputFaults(ctx context.Context) error {
	if r := requestFrom(ctx); r != nil {
		return r.fault()
	}
	return nil
}

// Words is the format of a parameter with words to search for.
const Words = "words"

// checkFormat rejects empty values, which huma treats as absent, and searches without a word, which
// would find everything or nothing.
func (r *request) checkFormat(pointer string, s *huma.Schema, value string) {
	switch {
	case s != nil && s.Format == Words && len(words.Query(value)) == 0:
		r.wrong(pointer, "no-word", "the text has no word to search for; leave the parameter out to get everything")
	case value == "" && !mayBeEmpty(s):
		r.wrong(pointer, "invalid", "the value is empty")
	}
}

// listed returns the items of a list, whose parameter may be repeated and may contain commas. Empty
// items are ignored beside others; a value of nothing else is one empty item.
func listed(values []string) (items []string) {
	for _, value := range values {
		parts := strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
		if len(parts) == 0 {
			parts = []string{""}
		}
		items = append(items, parts...)
	}
	return items
}

func isList(s *huma.Schema) bool { return s != nil && s.Type == huma.TypeArray }

func mayBeEmpty(s *huma.Schema) bool {
	return s != nil && s.Type == huma.TypeString && s.Format == "" && s.Pattern == "" &&
		len(s.Enum) == 0 && (s.MinLength == nil || *s.MinLength == 0)
}

// shorten shortens a name that an error quotes.
func shorten(s string) string {
	const limit = 64
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "..."
}
