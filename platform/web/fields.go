package web

import (
	"errors"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// fieldCodes maps the messages of huma to stable codes. The first matching prefix applies. The
// messages are in validation/messages.go of huma, and a test covers them all.
var fieldCodes = []struct{ prefix, code string }{
	{"unexpected property", "unknown-field"},
	{"expected required property", "required"},
	{"expected property", "required"},
	{"expected propertyName", "required"},
	{"required ", "required"},
	{"expected number >", "minimum"},
	{"expected number <", "maximum"},
	{"expected length >=", "min-length"},
	{"expected length <=", "max-length"},
	{"expected array length >=", "min-items"},
	{"expected array length <=", "max-items"},
	{"expected object with at least", "min-items"},
	{"expected object with at most", "max-items"},
	{"expected array items to be unique", "unique"},
	{"expected value to be one of", "enum"},
	{"expected string to be RFC", "format"},
	{"expected string to be either RFC", "format"},
	{"expected string to be regex", "format"},
	{"expected string to be base64", "format"},
	{"expected duration", "format"},
	{"invalid date/time", "format"},
	{"invalid value", "format"},
	{"expected string to match", "pattern"},
	{"expected string to be", "pattern"},
	{"expected number to be a multiple", "invalid"},
	{"expected boolean", "type"},
	{"expected number", "type"},
	{"expected integer", "type"},
	{"expected string", "type"},
	{"expected array", "type"},
	{"expected object", "type"},
	{"invalid integer", "type"},
	{"invalid float", "type"},
	{"invalid boolean", "type"},
}

func codeOf(message string) string {
	for _, c := range fieldCodes {
		if strings.HasPrefix(message, c.prefix) {
			return c.code
		}
	}
	return "invalid"
}

// bodyField converts an error of huma's validator to a Field.
func bodyField(err error) fault.Field {
	var detail *huma.ErrorDetail
	if !errors.As(err, &detail) {
		return fault.Field{Code: "invalid", Message: "the body is not valid"}
	}
	field := fault.Field{
		Pointer: pointerOf(strings.TrimPrefix(detail.Location, "body")),
		Code:    codeOf(detail.Message),
		Message: plainMessage(detail.Message),
	}
	if rest, ok := strings.CutPrefix(detail.Message, "expected required property "); ok {
		field.Pointer += "/" + strings.TrimSuffix(rest, " to be present")
	} else if rest, ok := strings.CutPrefix(detail.Message, "expected property "); ok {
		name, _, _ := strings.Cut(rest, " ")
		field.Pointer += "/" + name
	}
	return field
}

// paramField converts an error of a parameter; its location is "query.limit". The index of an item
// in a list is omitted, because it is of no use in a URL.
func paramField(detail *huma.ErrorDetail) fault.Field {
	in, name, _ := strings.Cut(detail.Location, ".")
	name, _, _ = strings.Cut(name, "[")
	return fault.Field{
		Pointer: "/" + in + "/" + escapePointer(name),
		Code:    codeOf(detail.Message),
		Message: plainMessage(detail.Message),
	}
}

// pointerOf converts ".items[0].sku" to "/items/0/sku".
func pointerOf(location string) string {
	return unescapeName(locations.Replace(location))
}

var locations = strings.NewReplacer(".", "/", "[", "/", "]", "")

// plainMessage removes Go types from a message.
func plainMessage(message string) string {
	switch {
	case strings.HasPrefix(message, "invalid date/time"):
		return "expected string to be RFC 3339 date-time"
	case strings.HasPrefix(message, "expected string to be RFC 4122 uuid"):
		return "expected string to be RFC 4122 uuid"
	case strings.HasPrefix(message, "expected number "):
		return plainNumber(message)
	default:
		return message
	}
}

// plainNumber writes the bound at the end of a message without an exponent.
func plainNumber(message string) string {
	at := strings.LastIndexByte(message, ' ') + 1
	bound, err := strconv.ParseFloat(message[at:], 64)
	if err != nil || !strings.Contains(message[at:], "e") {
		return message
	}
	return message[:at] + strconv.FormatFloat(bound, 'f', -1, 64)
}

func itoa(i int) string { return strconv.Itoa(i) }
