package web

import (
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// maxFaults is the maximum number of errors that a response lists. In an ItemwiseList it is this number for
// a tenth of the items.
const maxFaults = 1000

// maxPointer is the length at which a pointer is truncated, because a name may be as long as the
// body.
const maxPointer = 1 << 10

// validate returns the errors of a parsed body. The result more means that there are further ones.
func validate(schemas huma.Registry, schema *huma.Schema, body tree, most int) (fields []fault.Field, more bool) {
	return validateAt(schemas, schema, "body", "", body, most)
}

// validateAt validates a part of a body, given its location for huma and its pointer.
func validateAt(schemas huma.Registry, schema *huma.Schema, location, pointer string, body tree, most int) (fields []fault.Field, more bool) {
	var found huma.ValidateResult
	fields = body.wrong
	switch reason := findAll(bounded{schemas, &found, most}, schema, location, body.value, &found); reason {
	case nil, errMany:
	default:
		fields = append(fields, unhashable(schemas, schema, pointer, body.value)...)
		if len(fields) == 0 {
			fields = append(fields, fault.Field{Pointer: pointer, Code: "invalid", Message: "the body does not have the expected shape"})
		}
	}
	for _, err := range found.Errors[:min(len(found.Errors), most)] {
		field := bodyField(err)
		if len(field.Pointer) > maxPointer {
			field.Pointer = strings.ToValidUTF8(field.Pointer[:maxPointer], "") + "..."
		}
		fields = append(fields, field)
	}
	if body.nulls {
		fields = append(fields, nulls(schemas, schema, pointer, body.value)...)
	}
	return fields, body.more || len(found.Errors) > most || len(fields) > most
}

// findAll returns the value of a panic, or nil. huma hashes the items of an array with unique
// items, which fails for objects. No schema may let a client cause a 500.
func findAll(schemas huma.Registry, schema *huma.Schema, location string, value any, found *huma.ValidateResult) (reason any) {
	defer func() { reason = recover() }()
	path := huma.NewPathBuffer([]byte(location), len(location))
	huma.Validate(schemas, schema, path, huma.ModeWriteToServer, value, found)
	return nil
}

// bounded ends a validation that has found enough errors, when huma requests the schema of the next
// item. A megabyte of brackets would have a million errors.
type bounded struct {
	huma.Registry
	found *huma.ValidateResult
	most  int
}

func (b bounded) SchemaFromRef(ref string) *huma.Schema {
	if len(b.found.Errors) > b.most {
		panic(errMany)
	}
	return b.Registry.SchemaFromRef(ref)
}

// nulls finds optional members that are null although their schema does not allow it. huma skips
// them, and the decoder would store a zero.
func nulls(schemas huma.Registry, s *huma.Schema, pointer string, value any) (found []fault.Field) {
	s = resolve(schemas, s)
	if s == nil {
		return nil
	}
	switch v := value.(type) {
	case map[string]any:
		more, _ := s.AdditionalProperties.(*huma.Schema)
		for name, member := range v {
			at := pointer + "/" + unescapeName(name)
			schema, known := s.Properties[name]
			if !known {
				schema = more
			}
			schema = resolve(schemas, schema)
			if member != nil || schema == nil {
				found = append(found, nulls(schemas, schema, at, member)...)
				continue
			}
			if known && !schema.Nullable && schema.Type != "" && !slices.Contains(s.Required, name) {
				found = append(found, fault.Field{Pointer: at, Code: "type", Message: "null is not allowed"})
			}
		}
	case []any:
		for i, item := range v {
			found = append(found, nulls(schemas, s.Items, pointer+"/"+itoa(i), item)...)
		}
	}
	return found
}

// unhashable finds the values for which huma panics: objects and arrays in a list of unique items.
func unhashable(schemas huma.Registry, s *huma.Schema, pointer string, value any) (found []fault.Field) {
	s = resolve(schemas, s)
	if s == nil {
		return nil
	}
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if schema := s.Properties[name]; schema != nil {
				found = append(found, unhashable(schemas, schema, pointer+"/"+unescapeName(name), member)...)
			}
		}
	case []any:
		for i, item := range v {
			at := pointer + "/" + itoa(i)
			switch item.(type) {
			case map[string]any, []any:
				if s.UniqueItems {
					found = append(found, fault.Field{Pointer: at, Code: "type", Message: "expected " + resolve(schemas, s.Items).Type})
					continue
				}
			}
			found = append(found, unhashable(schemas, s.Items, at, item)...)
		}
	}
	return found
}

func resolve(schemas huma.Registry, s *huma.Schema) *huma.Schema {
	for s != nil && s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// escapeName and unescapeName protect the name of a member in huma's locations: special characters
// of JSON pointers are escaped as in RFC 6901, and those of huma in the same manner.
func escapeName(name string) string {
	if !strings.ContainsAny(name, "~/.[]") {
		return name
	}
	return escapes.Replace(name)
}

func unescapeName(name string) string {
	if !strings.Contains(name, "~") {
		return name
	}
	return unescapes.Replace(name)
}

var (
	escapes   = strings.NewReplacer("~", "~0", "/", "~1", ".", "~2", "[", "~3", "]", "~4")
	unescapes = strings.NewReplacer("~2", ".", "~3", "[", "~4", "]")
	pointers  = strings.NewReplacer("~", "~0", "/", "~1")
)

func escapePointer(name string) string { return pointers.Replace(name) }

// sortAndDeduplicate sorts the errors and removes duplicates, because huma iterates over maps in random order.
func sortAndDeduplicate(fields []fault.Field) []fault.Field {
	slices.SortFunc(fields, func(a, b fault.Field) int {
		if c := strings.Compare(a.Pointer, b.Pointer); c != 0 {
			return c
		}
		return strings.Compare(a.Code, b.Code)
	})
	return slices.CompactFunc(fields, func(a, b fault.Field) bool {
		return a.Pointer == b.Pointer && a.Code == b.Code
	})
}
