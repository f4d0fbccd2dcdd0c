package idempotency

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// kept tells whether a refusal is worth keeping. Credentials, rights,
// limits, bad input and our own trouble may all be different the next time.
func kept(f *fault.Error) bool {
	return f.Kind == fault.KindNotFound || f.Kind == fault.KindConflict || f.Kind == fault.KindPreconditionFailed
}

func isRefusal(status int) bool { return status < 100 }

// stored is a refusal as it is kept: the fault itself, told apart from a response by
// its status, which is the fault's kind.
type stored struct {
	Code, Detail string
	Fields       []fault.Field `json:",omitempty"`
	Extra        extra         `json:",omitempty"`
	RetryAfter   time.Duration `json:",omitempty"`
}

// extra comes back with its integers whole: as float64 the large ones would not
// be what the first caller was told.
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

// KeepRefusal is the record of a refusal, for those who write keys themselves.
func KeepRefusal(r Request, f *fault.Error) Record {
	body, err := json.Marshal(stored{f.Code, f.Detail, f.Fields, f.Extra, f.RetryAfter})
	if err != nil {
		panic(fmt.Sprintf("idempotency: fault %s cannot be kept: %v", f.Code, err))
	}
	return Record{Request: r, Response: Response{Status: int(f.Kind), Body: body}}
}

// refusal turns a kept refusal back into its fault.
func refusal(r Response, replayed bool) error {
	var s stored
	if err := json.Unmarshal(r.Body, &s); err != nil {
		return fmt.Errorf("read a kept refusal: %w", err)
	}
	return &fault.Error{
		Kind: fault.Kind(r.Status), Code: s.Code, Detail: s.Detail,
		Fields: s.Fields, Extra: s.Extra, RetryAfter: s.RetryAfter, Replayed: replayed,
	}
}
