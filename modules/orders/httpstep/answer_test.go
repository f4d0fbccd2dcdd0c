package httpstep

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/orderflow-dev/orderflow/modules/orders"
)

var (
	longest = strings.Repeat("é", orders.MaxReason)
	code64  = "a" + strings.Repeat("-b1", 21)
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]orders.Verdict{
		`{"verdict":"continue"}`:                                 orders.Continue(),
		`{"verdict":"continue","code":"","reason":null}`:         orders.Continue(),
		`{"verdict":"continue","code":"IGNORED","reason":"x"}`:   orders.Continue(),
		" {\"verdict\" : \"hold\", \"reason\":\"Call back.\"}\n": orders.Hold("Call back."),
		`{"verdict":"hold","reason":"` + longest + `"}`:          orders.Hold(longest),
		`{"verdict":"hold","code":"x","reason":"Why"}`:           orders.Hold("Why"),
		`{"verdict":"fail","code":"fraud-suspected","reason":"The card was reported.","score":{"a":[1]},"Verdict":"continue"}`: orders.Fail("fraud-suspected", "The card was reported."),
		`{"verdict":"fail","code":"` + code64 + `","reason":"\u00e4"}`:                                                         orders.Fail(code64, "ä"),
	} {
		if got, err := parse([]byte(raw)); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", raw, got, err, want)
		}
	}
}

// A response that is not exactly a verdict is an error, so that it can neither continue nor end an order.
func TestNoVerdicts(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		``, `null`, `true`, `"continue"`, `[]`, `{}`, `{"verdict":null}`, `{"verdict":true}`, `{"verdict":""}`, `{"verdict":"Continue"}`,
		`{"verdict":"allow"}`, `{"Verdict":"continue"}`, `{"verdict":"continue"`, `{"verdict":"continue"} {}`, `{"verdict":"continue"}x`,
		`{"verdict":"hold","reason":"x","verdict":"continue"}`, `{"verdict":"continue","a":1,"a":2}`, `{"verdict":"continue","code":7}`,
		"{\"verdict\":\"continue\",\"a\":\"\xff\"}", `<html>continue</html>`, `verdict=continue`,
		`{"verdict":"hold"}`, `{"verdict":"hold","reason":""}`, `{"verdict":"hold","reason":" "}`, `{"verdict":"hold","reason":null}`, `{"verdict":"hold","reason":["x"]}`,
		`{"verdict":"hold","reason":"` + longest + `x"}`, `{"verdict":"hold","reason":"a\u0000b"}`, `{"verdict":"hold","reason":"a\nb"}`, `{"verdict":"hold","reason":"\u0085"}`,
		"{\"verdict\":\"hold\",\"reason\":\"\xc3\"}", `{"verdict":"hold","reason":"\ud800"}`,
		`{"verdict":"fail"}`, `{"verdict":"fail","reason":"x"}`, `{"verdict":"fail","code":"x"}`, `{"verdict":"fail","code":"","reason":"x"}`,
		`{"verdict":"fail","code":"Fraud","reason":"x"}`, `{"verdict":"fail","code":"fraud_suspected","reason":"x"}`, `{"verdict":"fail","code":"-a","reason":"x"}`,
		`{"verdict":"fail","code":"a--b","reason":"x"}`, `{"verdict":"fail","code":"a\n","reason":"x"}`, `{"verdict":"fail","code":"` + code64 + `1","reason":"x"}`,
	} {
		if got, err := parse([]byte(raw)); err == nil || got != (orders.Verdict{}) {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"verdict":"continue"}`))
	f.Add([]byte(`{"verdict":"hold","reason":"a\u0000b"}`))
	f.Add([]byte(`{"verdict":"fail","code":"fraud-suspected","reason":"The card was reported.","x":[{}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := parse(raw)
		if err != nil {
			if v != (orders.Verdict{}) || len(raw) > 20 && strings.Contains(err.Error(), string(raw)) {
				t.Errorf("%+v with the error %v", v, err)
			}
			return
		}
		if !utf8.ValidString(v.Reason) || strings.ContainsFunc(v.Reason, unicode.IsControl) || utf8.RuneCountInString(v.Reason) > orders.MaxReason {
			t.Errorf("the reason is %q", v.Reason)
		}
		switch v.Kind {
		case orders.VerdictContinue:
			if v != orders.Continue() {
				t.Errorf("%+v", v)
			}
		case orders.VerdictHold:
			if v.Code != "" || v.Reason == "" {
				t.Errorf("%+v", v)
			}
		case orders.VerdictFail:
			if v.Code == "" || v.Reason == "" {
				t.Errorf("%+v", v)
			}
		default:
			t.Errorf("%+v", v)
		}
	})
}
