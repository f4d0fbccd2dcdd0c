package httpstep

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/orderflow-dev/orderflow/modules/orders"
)

// answer has the members that mean something. Others are ignored, so that services and this
// program can be extended independently.
type answer struct {
	Verdict string `json:"verdict"`
	Code    string `json:"code"`
	Reason  string `json:"reason"`
}

// parse reads a verdict. Duplicate members, names in another case and text that is not UTF-8 are
// errors of the decoder. The errors never quote the answer.
func parse(raw []byte) (orders.Verdict, error) {
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return orders.Verdict{}, errors.New("the answer is not a JSON object with the members verdict, code and reason, each at most once and a string")
	}
	v := orders.Verdict{Kind: orders.VerdictKind(a.Verdict), Code: a.Code, Reason: a.Reason}
	if v.Kind == orders.VerdictContinue {
		return orders.Continue(), nil
	}
	if v.Kind != orders.VerdictFail {
		v.Code = ""
	}
	if err := orders.CheckVerdict(v); err != nil {
		return orders.Verdict{}, fmt.Errorf("the answer is wrong: %w", err)
	}
	return v, nil
}
