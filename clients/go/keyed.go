package orderflow

import "strings"

//go:generate go run ./internal/generate

// takesKey reports whether an operation takes an Idempotency-Key.
func takesKey(method, path string) bool {
	for _, operation := range keyed {
		verb, pattern, _ := strings.Cut(operation, " ")
		if verb == method && matches(pattern, path) {
			return true
		}
	}
	return false
}

// matches compares a path with a pattern such as /v1/orders/{id}.
func matches(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i, segment := range want {
		if segment != got[i] && !strings.HasPrefix(segment, "{") {
			return false
		}
	}
	return true
}
