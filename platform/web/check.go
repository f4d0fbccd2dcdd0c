package web

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Check finds the faults of a body that its schema does not describe. It gets the body without the
// members that the schema refuses, with null in place of the items that it refuses. A fault.Invalid lists
// faults; any other error is ignored, because the request is refused anyway.
type Check func(ctx context.Context, body jsontext.Value) error

// checkKey is the key of a Check in the metadata of an operation.
const checkKey = "check"

// CheckBody returns the Check of a route whose body is a T. A handler that validates a body itself
// runs only if the schema allows the body; with the same validation as the Check of its route, a response
// lists all faults at once (SPEC R3, R43).
func CheckBody[T any](check func(ctx context.Context, body T) error) Check {
	return func(ctx context.Context, raw jsontext.Value) error {
		var body T
		if err := json.Unmarshal(raw, &body, wholeNumbers); err != nil {
			return err
		}
		return check(ctx, body)
	}
}

// runCheck adds the faults of the route's Check to those of the schema, once.
func (r *request) runCheck() {
	if r.plan == nil || r.plan.check == nil || r.checked || r.more || len(r.body)+len(r.params) == 0 || len(r.raw) == 0 || r.ctx == nil {
		return
	}
	r.checked = true
	r.body = append(r.body, remaining(r.body, r.raw, func(rest jsontext.Value) error { return r.plan.check(r.ctx, rest) })...)
}

// remaining returns the faults that check finds in what is left of a body besides the known ones.
func remaining(known []fault.Field, raw jsontext.Value, check func(jsontext.Value) error) (more []fault.Field) {
	bad := make(map[string]bool, len(known))
	for _, f := range known {
		bad[f.Pointer] = true
	}
	rest, ok := prune(raw, "", bad)
	if !ok {
		return nil
	}
	f, isFault := fault.As(check(rest))
	if !isFault || f.Kind != fault.KindInvalid {
		return nil
	}
	for _, field := range f.Fields {
		if !concerns(known, field.Pointer) {
			more = append(more, field)
		}
	}
	return more
}

// concerns reports whether a fault is about the value at the pointer, a part of it or what contains it.
func concerns(known []fault.Field, pointer string) bool {
	for _, f := range known {
		if f.Pointer == pointer || strings.HasPrefix(f.Pointer, pointer+"/") || strings.HasPrefix(pointer, f.Pointer+"/") {
			return true
		}
	}
	return false
}

// prune removes the members at the bad pointers, and replaces the items there by null. It reports
// whether anything is left.
func prune(raw jsontext.Value, pointer string, bad map[string]bool) (rest jsontext.Value, ok bool) {
	if bad[pointer] {
		return nil, false
	}
	below := false
	for p := range bad {
		below = below || strings.HasPrefix(p, pointer+"/")
	}
	if !below {
		return raw, true
	}
	switch raw.Kind() {
	case jsontext.KindBeginObject:
		return pruneObject(raw, pointer, bad)
	case jsontext.KindBeginArray:
		return pruneArray(raw, pointer, bad)
	default:
		return raw, true
	}
}

func pruneObject(raw jsontext.Value, pointer string, bad map[string]bool) (jsontext.Value, bool) {
	var members map[string]jsontext.Value
	if json.Unmarshal(raw, &members) != nil {
		return nil, false
	}
	for name, member := range members {
		left, ok := prune(member, pointer+"/"+escapePointer(name), bad)
		if members[name] = left; !ok {
			delete(members, name)
		}
	}
	rest, err := json.Marshal(members)
	return rest, err == nil
}

func pruneArray(raw jsontext.Value, pointer string, bad map[string]bool) (jsontext.Value, bool) {
	var items []jsontext.Value
	if json.Unmarshal(raw, &items) != nil {
		return nil, false
	}
	for i, item := range items {
		left, ok := prune(item, pointer+"/"+itoa(i), bad)
		if items[i] = left; !ok {
			items[i] = jsontext.Value("null")
		}
	}
	rest, err := json.Marshal(items)
	return rest, err == nil
}
