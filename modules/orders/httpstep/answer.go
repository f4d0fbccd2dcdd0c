package httpstep

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/orderflow-dev/orderflow/modules/orders"
)

// Limits of an answer. maxReason is that of the reasons which the API takes.
const (
	maxCode   = 64  // bytes
	maxReason = 500 // characters
)

var kebab = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

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
	var err error
	switch v.Kind {
	case orders.VerdictContinue:
		v = orders.Continue()
	case orders.VerdictHold:
		v.Code, err = "", checkReason(v.Reason)
	case orders.VerdictFail:
		err = cmp.Or(checkCode(v.Code), checkReason(v.Reason))
	default:
		err = errors.New("the verdict of the answer is neither continue, fail nor hold")
	}
	if err != nil {
		return orders.Verdict{}, err
	}
	return v, nil
}

func checkCode(code string) error {
	if len(code) > maxCode || !kebab.MatchString(code) {
		return fmt.Errorf("the code of the answer is not kebab-case, such as fraud-suspected, of at most %d bytes", maxCode)
	}
	return nil
}

// checkReason refuses control characters. NUL is one of them, which PostgreSQL cannot store.
func checkReason(reason string) error {
	if n := utf8.RuneCountInString(reason); strings.TrimSpace(reason) == "" || n > maxReason || strings.ContainsFunc(reason, unicode.IsControl) {
		return fmt.Errorf("the reason of the answer does not have 1 to %d characters, none of them a control character", maxReason)
	}
	return nil
}
