package web

import (
	"slices"
	"strconv"
	"strings"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// ETag returns a version as a strong entity tag (RFC 9110 section 8.8.3).
func ETag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// IfMatch has the versions of an If-Match header; nil means any version.
type IfMatch []int64

// Allows reports whether the request may be executed on a resource of that version.
func (m IfMatch) Allows(version int64) bool { return m == nil || slices.Contains(m, version) }

// ParseIfMatch parses an If-Match header (RFC 9110 section 13.1.1): a list of entity tags, or "*"
// for any version, as without the header. A tag that the API does not issue, and a weak one, since
// the comparison is strong, match no version, so that the caller responds with 412. The error for a malformed header
// is a 400.
func ParseIfMatch(h string) (IfMatch, error) {
	h = strings.Trim(h, " \t")
	if h == "" || h == "*" {
		return nil, nil
	}
	tags, ok := parseTags(h)
	if !ok {
		f := fault.New(fault.KindMalformed, "malformed", "A parameter is not valid; see errors.")
		f.Fields = []fault.Field{{Pointer: "/header/If-Match", Code: "format", Message: "expected entity tags separated by commas, or *"}}
		return nil, f
	}
	versions := make(IfMatch, 0, len(tags))
	for _, tag := range tags {
		version, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
		if err == nil && version >= 0 && ETag(version) == tag {
			versions = append(versions, version)
		}
	}
	return versions, nil
}

// NotModified reports whether the caller of a GET has the current version. The comparison is weak
// (RFC 9110 section 13.1.2); a malformed header matches nothing.
func NotModified(ifNoneMatch, etag string) bool {
	h := strings.TrimSpace(ifNoneMatch)
	if h == "*" {
		return true
	}
	tags, _ := parseTags(h)
	for _, tag := range tags {
		if strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// parseTags parses a list of entity tags. A tag may contain commas.
func parseTags(h string) (tags []string, ok bool) {
	for {
		h = strings.TrimLeft(h, " \t,")
		if h == "" {
			return tags, len(tags) > 0
		}
		weak, rest := "", h
		if strings.HasPrefix(h, "W/") {
			weak, rest = "W/", h[2:]
		}
		if rest == "" || rest[0] != '"' {
			return nil, false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return nil, false
		}
		tags = append(tags, weak+rest[:end+2])
		h = strings.TrimLeft(rest[end+2:], " \t")
		if h != "" && h[0] != ',' {
			return nil, false
		}
	}
}
