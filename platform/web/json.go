package web

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

var decoding = json.JoinOptions(json.RejectUnknownMembers(true), wholeNumbers)

// maxDepth is greater than the depth of any valid input. Without a limit a few kilobytes of
// brackets need a deep stack.
const maxDepth = 64

// Decode decodes one JSON value strictly. Unknown and duplicate members, names in another case,
// invalid UTF-8 and data after the value are errors. All of its errors are faults for the client.
func Decode(data []byte, v any) error {
	parsed, err := parse(data, BodyLimit)
	if err != nil {
		return err
	}
	if len(parsed.wrong) > 0 {
		return fault.Invalid(sortAndDeduplicate(parsed.wrong)...)
	}
	if err := decodeInto(data, v); err != nil {
		return fault.Invalid(fieldFromText(err.Error())).WithCause(err)
	}
	return nil
}

// decodeInto returns its errors as fieldText, because huma keeps only the text of an error.
func decodeInto(data []byte, v any) error {
	err := json.Unmarshal(data, v, decoding)
	if err == nil {
		return nil
	}
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return fieldText(fault.Field{Code: "invalid", Message: "the body cannot be read"})
	}
	field := fault.Field{Pointer: string(semantic.JSONPointer), Code: "invalid", Message: "the value is not valid here"}
	switch {
	case errors.Is(err, json.ErrUnknownName):
		field.Code, field.Message = "unknown-field", "there is no such field"
	case semantic.JSONKind == jsontext.KindNumber, errors.Is(err, errNotWhole):
		field.Code, field.Message = "type", "expected a whole number within range"
	}
	return fieldText(field)
}

// fieldText passes a fault.Field through an interface that keeps only the text.
type fieldText fault.Field

const fieldSeparator = "\x00"

func (f fieldText) Error() string {
	return strings.Join([]string{f.Pointer, f.Code, f.Message}, fieldSeparator)
}

func fieldFromText(text string) fault.Field {
	parts := strings.SplitN(text, fieldSeparator, 3)
	if len(parts) != 3 {
		return fault.Field{Code: "invalid", Message: "the body cannot be read"}
	}
	return fault.Field{Pointer: parts[0], Code: parts[1], Message: parts[2]}
}

// tree is a parsed body as huma validates it: map[string]any, []any, string, float64, bool and nil.
// Names are escaped as in a JSON pointer, and so are dots and brackets, which huma uses in its
// locations.
type tree struct {
	value any
	nulls bool          // the body contains a null
	wrong []fault.Field // errors that a schema does not find
	more  bool          // there are more errors than listed

	values int // number of values
}

type parser struct {
	tree
	part
	dec *jsontext.Decoder
}

// part gives the parser the context of a value that is inside another one.
type part struct {
	at     string // pointer
	name   string // of the member with this value
	depth  int
	values int // maximum number
	noted  int // bytes of the pointers of earlier errors
}

// bytesPerValue limits the number of values in a body, because a body of brackets and commas would
// take fifty times its size in memory. Valid bodies have one value per ten bytes but are far below
// the limit of their route.
const bytesPerValue = 16

// parse strictly parses a body for a route with that limit. Its error is a 400 that describes the
// syntax error, or a 413.
func parse(data []byte, limit int) (tree, error) {
	parsed, _, err := parsePart(data, part{values: limit / bytesPerValue})
	switch {
	case errors.Is(err, errMany):
		return tree{}, tooManyValues(limit)
	case err != nil:
		return tree{}, notJSON(err)
	}
	return parsed, nil
}

func tooManyValues(limit int) error {
	return fault.New(fault.KindTooLarge, "too-large", "The JSON holds more than the %d values that this route takes.", limit/bytesPerValue)
}

// parsePart also returns the new value of part.noted.
func parsePart(data []byte, within part) (tree, int, error) {
	p := parser{dec: jsontext.NewDecoder(bytes.NewBuffer(data)), part: within}
	value, err := p.read(within.name, within.depth)
	if err == nil {
		_, err = p.dec.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			err = nil
		case err == nil:
			err = errTrailing
		}
	}
	p.value = value
	return p.tree, p.noted, err
}

var (
	errDeep     = errors.New("too deep")
	errTrailing = errors.New("trailing data")
	errMany     = errors.New("too many values")
)

func (p *parser) read(name string, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	token, err := p.dec.ReadToken()
	if err != nil {
		return nil, err
	}
	if p.tree.values++; p.tree.values > p.part.values {
		return nil, errMany
	}
	switch token.Kind() {
	case jsontext.KindBeginObject:
		return p.object(depth)
	case jsontext.KindBeginArray:
		return p.array(depth)
	case jsontext.KindString:
		return p.text(name, token.String()), nil
	case jsontext.KindNumber:
		return p.number(token.String()), nil
	case jsontext.KindNull:
		p.nulls = true
		return nil, nil //nolint:nilnil // null is a value like any other
	default:
		return token.Bool(), nil
	}
}

func (p *parser) object(depth int) (any, error) {
	members := map[string]any{}
	for p.dec.PeekKind() != jsontext.KindEndObject {
		token, err := p.dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name := p.text("", token.String())
		if members[escapeName(name)], err = p.read(name, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := p.dec.ReadToken()
	return members, err
}

func (p *parser) array(depth int) (any, error) {
	items := []any{}
	for p.dec.PeekKind() != jsontext.KindEndArray {
		item, err := p.read("", depth+1)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err := p.dec.ReadToken()
	return items, err
}

// text rejects NUL, which PostgreSQL does not store (22021). Passwords are never stored, and may
// contain every character (SPEC A1).
func (p *parser) text(name, value string) string {
	switch name {
	case "password", "currentPassword", "newPassword":
		return value
	}
	if strings.ContainsRune(value, 0) {
		p.note("nul", "the NUL character is not allowed")
	}
	return value
}

// number returns a float64, which huma compares with the schema. The decoder later parses the
// digits again, without loss.
func (p *parser) number(digits string) float64 {
	value, err := strconv.ParseFloat(digits, 64)
	whole := !strings.ContainsAny(digits, ".eE")
	if whole && len(digits) > 18 && value > 0 {
		_, err = strconv.ParseUint(digits, 10, 64)
	} else if whole && len(digits) > 18 {
		_, err = strconv.ParseInt(digits, 10, 64)
	}
	if err != nil {
		p.note("type", "the number is out of range")
	}
	return value
}

// note adds an error and stops at the limit. A long name would be repeated in the pointer of every
// value below it.
func (p *parser) note(code, message string) {
	const most = 256 << 10
	if p.noted > most {
		p.more = true
		return
	}
	pointer := p.at + string(p.dec.StackPointer())
	p.noted += len(pointer)
	p.wrong = append(p.wrong, fault.Field{Pointer: pointer, Code: code, Message: message})
}

func duplicate(pointer string) error {
	f := fault.New(fault.KindMalformed, "malformed", "A member of the JSON is given more than once.")
	f.Fields = []fault.Field{{Pointer: pointer, Code: "duplicate", Message: "the member is given more than once"}}
	return f
}

// notJSON describes a syntax error in JSON without terms of Go.
func notJSON(err error) error { return notJSONIn(err, "", 0) }

// notJSONIn does so for a part of a body, given its pointer and its offset.
func notJSONIn(err error, at string, offset int) error {
	const code = "malformed"
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, errDeep):
		return fault.New(fault.KindMalformed, code, "The JSON is nested deeper than %d levels.", maxDepth)
	case errors.Is(err, errTrailing):
		return fault.New(fault.KindMalformed, code, "There is something after the end of the JSON.")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.KindMalformed, code, "The JSON ends too early.")
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return duplicate(at + string(syntax.JSONPointer))
	case errors.As(err, &syntax) && strings.Contains(err.Error(), "UTF-8"):
		return fault.New(fault.KindMalformed, code, "The JSON holds text that is not UTF-8, near byte %d.", int64(offset)+syntax.ByteOffset)
	case errors.As(err, &syntax):
		return fault.New(fault.KindMalformed, code, "The body is not valid JSON, near byte %d.", int64(offset)+syntax.ByteOffset)
	default:
		return fault.New(fault.KindMalformed, code, "The body is not valid JSON.")
	}
}
