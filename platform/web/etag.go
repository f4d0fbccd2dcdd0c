package web

import (
	"strconv"
	"strings"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// ETag returns a version as a strong entity tag (RFC 9110 section 8.8.3).
func ETag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// ParseIfMatch parses an If-Match header. present is false if there is no header; wildcard is true
// for "*". A tag that the API does not issue, such as a weak one, gives version -1, which no row
// has, so that the caller responds with 412. Several tags and a malformed header are a 400.
func ParseIfMatch(h string) (version int64, wildcard, present bool, err error) {
	h = strings.TrimSpace(h)
	switch h {
	case "":
		return 0, false, false, nil
	case "*":
		return 0, true, true, nil
	}
	tags, ok := parseTags(h)
	if !ok || len(tags) != 1 {
		f := fault.New(fault.KindMalformed, "malformed", "A parameter is not valid; see errors.")
		f.Fields = []fault.Field{{Pointer: "/header/If-Match", Code: "format", Message: "expected one entity tag, or *"}}
		return 0, false, true, f
	}
	version, err = strconv.ParseInt(strings.Trim(tags[0], `"`), 10, 64)
	if err != nil || version < 0 || ETag(version) != tags[0] {
		return -1, false, true, nil //nolint:nilerr // a tag that the API does not issue, see the doc comment
	}
	return version, false, true, nil
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
