package web

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"unicode/utf8"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// A cursor is base64url of: version, the parts with their lengths, a checksum.
// The checksum finds a cursor that was cut or mistyped; it is no secret, so what
// is in a cursor must be parsed like any other input.
const (
	cursorVersion = 1
	cursorCheck   = 4
	maxCursor     = 1024
)

// EncodeCursor packs the sort key of the last row of a page.
func EncodeCursor(parts ...string) string {
	raw := []byte{cursorVersion}
	for _, part := range parts {
		raw = binary.AppendUvarint(raw, uint64(len(part)))
		raw = append(raw, part...)
	}
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	return base64.RawURLEncoding.EncodeToString(raw)
}

// DecodeCursor unpacks a cursor that has so many parts. Everything else, "" too,
// is a 400 that points at /query/cursor. The parts are UTF-8 without NUL.
func DecodeCursor(s string, parts int) ([]string, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(s) > maxCursor || len(raw) < 1+cursorCheck || strings.ContainsAny(s, "\r\n") {
		return nil, InvalidCursor()
	}
	body, sum := raw[:len(raw)-cursorCheck], raw[len(raw)-cursorCheck:]
	if body[0] != cursorVersion || crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(sum) {
		return nil, InvalidCursor()
	}
	list := make([]string, 0, parts)
	for body = body[1:]; len(body) > 0; {
		size, n := binary.Uvarint(body)
		if n <= 0 || size > uint64(len(body)-n) {
			return nil, InvalidCursor()
		}
		part := string(body[n : n+int(size)])
		if !utf8.ValidString(part) || strings.ContainsRune(part, 0) {
			return nil, InvalidCursor()
		}
		list, body = append(list, part), body[n+int(size):]
	}
	if len(list) != parts {
		return nil, InvalidCursor()
	}
	return list, nil
}

// InvalidCursor is the refusal of a cursor, also of one whose parts make no sense to
// the list that it was given to.
func InvalidCursor() *fault.Error {
	f := fault.New(fault.KindMalformed, "malformed", "A parameter is not valid; see errors.")
	f.Fields = []fault.Field{{Pointer: "/query/cursor", Code: "format", Message: "this is not a cursor of this list"}}
	return f
}
