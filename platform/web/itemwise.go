package web

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// itemwisePlan describes how a body with an ItemwiseList is validated: item by item, with only the tree of one
// item in memory.
type itemwisePlan struct {
	name     string       // name of the member with the list
	envelope *huma.Schema // schema of the body without its items
	item     *huma.Schema
	mostKept int // maximum number of items
}

func apartOf(name string, schemas huma.Registry, body *huma.Schema) *itemwisePlan {
	body = resolve(schemas, body)
	list := resolve(schemas, body.Properties[name])
	outer, bare := *body, *list
	bare.Items = &huma.Schema{}
	outer.Properties = maps.Clone(body.Properties)
	outer.Properties[name] = &bare
	p := &itemwisePlan{name: name, envelope: &outer, item: list.Items, mostKept: 1 << 20}
	if list.MaxItems != nil {
		p.mostKept = *list.MaxItems
	}
	return p
}

// splitBody is a parsed body. Its outline is the body with a 0 in place of each item.
type splitBody struct {
	outline []byte
	items   []jsontext.Value // slices of the body, not copies
	fields  []fault.Field
	more    bool
}

type splitter struct {
	splitBody
	*itemwisePlan
	schemas huma.Registry
	raw     []byte
	dec     *jsontext.Decoder // finds only the ends of values
	limit   int               // maximum size of the body in bytes
	left    int               // number of values that may still follow
	outside int               // bytes of the members other than the list
	noted   int
	most    int // maximum number of errors
	nulls   bool
	count   int // number of items
}

// split parses a body as strictly as parse does, and validates it. An item may be as large as the
// body of a route without its own limit, and so may the rest of the body. A larger item is an error
// and is not parsed.
func (p *plan) split(raw []byte) (splitBody, error) {
	s := &splitter{
		itemwisePlan: p.list, schemas: p.schemas, raw: raw, limit: p.limit, left: p.limit / bytesPerValue, most: p.mostFaults(),
		dec: jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true)),
	}
	if s.dec.PeekKind() != jsontext.KindBeginObject {
		parsed, err := parse(raw, BodyLimit)
		if err == nil {
			s.outline = []byte("{}")
			s.fields, s.more = validate(p.schemas, p.body, parsed, s.most)
		}
		return s.splitBody, err
	}
	members, err := s.object()
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return splitBody{}, err
	}
	s.add(validateAt(s.schemas, s.envelope, "body", "", tree{value: members, nulls: s.nulls}, max(0, s.most-len(s.fields))))
	return s.splitBody, nil
}

func (s *splitter) add(fields []fault.Field, more bool) {
	s.fields = append(s.fields, fields...)
	s.more = s.more || more || len(s.fields) > s.most
}

func (s *splitter) object() (map[string]any, error) {
	members := map[string]any{}
	seen := map[string]bool{}
	_, _ = s.dec.ReadToken() // the brace that was peeked at
	for s.dec.PeekKind() != jsontext.KindEndObject {
		name, quoted, err := s.member()
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, duplicate("/" + escapePointer(name))
		}
		seen[name] = true
		s.outline = append(append(append(s.outline, separator(s.outline)), quoted...), ':')
		if name == s.name && s.dec.PeekKind() == jsontext.KindBeginArray {
			err = s.list()
			members[escapeName(name)] = make([]any, min(s.count, s.mostKept+1))
		} else {
			members[escapeName(name)], err = s.otherMember(name)
		}
		if err != nil {
			return nil, err
		}
	}
	s.outline = append(s.outline, '}')
	if len(members) == 0 {
		s.outline = []byte("{}")
	}
	_, err := s.dec.ReadToken()
	if err != nil {
		return nil, notJSON(err)
	}
	return members, nil
}

func separator(outline []byte) byte {
	if len(outline) == 0 {
		return '{'
	}
	return ','
}

// member reads the name of a member.
func (s *splitter) member() (name string, quoted []byte, err error) {
	quoted, err = s.dec.ReadValue()
	if err != nil {
		return "", nil, notJSON(err)
	}
	if err := s.take(len(quoted), 0); err != nil {
		return "", nil, err
	}
	plain, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return "", nil, notJSON(err)
	}
	if bytes.IndexByte(plain, 0) >= 0 {
		s.add([]fault.Field{{Pointer: "/" + escapePointer(string(plain)), Code: "nul", Message: "the NUL character is not allowed"}}, false)
	}
	return string(plain), quoted, nil
}

// take counts a part of the body that is not in the list.
func (s *splitter) take(size, values int) error {
	if s.outside += size; s.outside > BodyLimit {
		return fault.New(fault.KindTooLarge, "too-large", "The JSON beside /%s is larger than %d bytes.", s.name, BodyLimit)
	}
	if s.left -= values; s.left < 0 {
		return tooManyValues(s.limit)
	}
	return nil
}

// otherMember reads a member other than the list.
func (s *splitter) otherMember(name string) (any, error) {
	raw, err := s.dec.ReadValue()
	if err != nil {
		return nil, notJSON(err)
	}
	if err := s.take(len(raw), 0); err != nil {
		return nil, err
	}
	parsed, err := s.parse(raw, "/"+escapePointer(name), name, 1)
	if err != nil {
		return nil, err
	}
	if err := s.take(0, parsed.values); err != nil {
		return nil, err
	}
	s.outline = append(s.outline, raw...)
	s.nulls = s.nulls || parsed.nulls
	s.add(parsed.wrong, parsed.more)
	return parsed.value, nil
}

func (s *splitter) list() error {
	_, _ = s.dec.ReadToken() // the bracket that was peeked at
	s.left--
	for ; s.dec.PeekKind() != jsontext.KindEndArray; s.count++ {
		raw, err := s.dec.ReadValue()
		if err != nil {
			return notJSON(err)
		}
		used, err := s.validateItem(raw)
		if err != nil {
			return err
		}
		if s.left -= used; s.left < 0 {
			return tooManyValues(s.limit)
		}
		if s.count < s.mostKept {
			end := int(s.dec.InputOffset())
			s.items = append(s.items, s.raw[end-len(raw):end:end])
		}
	}
	_, err := s.dec.ReadToken()
	if err != nil {
		return notJSON(err)
	}
	s.outline = append(s.outline, '[')
	s.outline = append(s.outline, bytes.TrimSuffix(bytes.Repeat([]byte("0,"), len(s.items)), []byte(","))...)
	s.outline = append(s.outline, ']')
	return nil
}

// validateItem validates an item and returns the number of values to count for it.
func (s *splitter) validateItem(raw jsontext.Value) (values int, err error) {
	if s.more {
		return 1, nil
	}
	at := strconv.Itoa(s.count)
	pointer := "/" + escapePointer(s.name) + "/" + at
	if len(raw) > BodyLimit {
		s.add([]fault.Field{{Pointer: pointer, Code: "too-large", Message: "is larger than " + strconv.Itoa(BodyLimit) + " bytes"}}, false)
		return 1, nil
	}
	parsed, err := s.parse(raw, pointer, "", 2)
	if errors.Is(err, errMany) {
		s.add([]fault.Field{{Pointer: pointer, Code: "too-large", Message: "holds more than " + strconv.Itoa(BodyLimit/bytesPerValue) + " values"}}, false)
		return BodyLimit / bytesPerValue, nil
	}
	if err != nil {
		return 0, err
	}
	s.add(validateAt(s.schemas, s.item, "body."+s.name+"["+at+"]", pointer, parsed, s.most-len(s.fields)))
	return parsed.values, nil
}

// parse parses a part of the body. Its errors other than errMany are faults for the client.
func (s *splitter) parse(raw []byte, at, name string, depth int) (tree, error) {
	parsed, noted, err := parsePart(raw, part{at: at, name: name, depth: depth, values: BodyLimit / bytesPerValue, noted: s.noted})
	s.noted = noted
	if err != nil && !errors.Is(err, errMany) {
		err = notJSONIn(err, at, int(s.dec.InputOffset())-len(raw))
	}
	return parsed, err
}

func (s *splitter) end() error {
	switch _, err := s.dec.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return notJSON(errTrailing)
	default:
		return notJSON(err)
	}
}
