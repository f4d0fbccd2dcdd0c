package idempotency

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// kept reports whether an error is stored with the key: a conflict that is final (SPEC C3). All others
// may not occur again when the request is repeated, and nothing was done that a repetition could do
// twice. That a resource does not exist is not stored either, because otherwise any account could fill the table with
// made-up ids.
func kept(f *fault.Error) bool { return f.Kind == fault.KindConflict && f.Final }

func isRefusal(status int) bool { return status < 100 }

// stored is the stored form of a fault. The status of its row is the kind of the fault, which
// distinguishes it from a response.
type stored struct {
	Code, Detail string
	Fields       []fault.Field `json:",omitempty"`
	Extra        extra         `json:",omitempty"`
	RetryAfter   time.Duration `json:",omitempty"`
}

// extra decodes integers as int64, because a float64 would change large ones, and the replay would
// differ from the first response.
type extra map[string]any

func (x *extra) UnmarshalJSON(raw []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	*x = make(extra, len(members))
	for name, member := range members {
		var whole *int64
		if json.Unmarshal(member, &whole) == nil && whole != nil {
			(*x)[name] = *whole
			continue
		}
		var value any
		if err := json.Unmarshal(member, &value); err != nil {
			return err
		}
		(*x)[name] = value
	}
	return nil
}

// KeepRefusal returns the record of an error, for use cases that write keys themselves.
func KeepRefusal(r Request, f *fault.Error) Record {
	body, err := json.Marshal(stored{f.Code, f.Detail, f.Fields, f.Extra, f.RetryAfter})
	if err != nil {
		panic(fmt.Sprintf("idempotency: fault %s cannot be stored: %v", f.Code, err))
	}
	return Record{Request: r, Response: Response{Status: int(f.Kind), Body: body}}
}

// refusal returns the fault of a stored error.
func refusal(r Response, replayed bool) error {
	var s stored
	if err := json.Unmarshal(r.Body, &s); err != nil {
		return fmt.Errorf("read a stored error: %w", err)
	}
	return &fault.Error{
		Kind: fault.Kind(r.Status), Code: s.Code, Detail: s.Detail,
		Fields: s.Fields, Extra: s.Extra, RetryAfter: s.RetryAfter, Replayed: replayed,
	}
}
