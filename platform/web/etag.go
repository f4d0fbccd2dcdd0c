package web

import (
	"strconv"
	"strings"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// ETag is a version as a strong entity tag (RFC 9110 section 8.8.3).
func ETag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// ParseIfMatch reads an If-Match header. present is false for none; wildcard is
// true for "*". A tag that we never gave out, weak ones included, is version -1, which
// equals no row's: the caller answers 412. Only one tag is taken, and what is not
// a tag is a 400.
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
		return -1, false, true, nil //nolint:nilerr // a tag of somebody else's, as the doc comment says
	}
	return version, false, true, nil
}

// NotModified tells whether the caller of a GET has the present version. The
// comparison is weak (RFC 9110 section 13.1.2); a header that cannot be read
// matches nothing.
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

// parseTags reads a list of entity tags; a comma may be part of one.
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
