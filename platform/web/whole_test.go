package web

import (
	"math/big"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// SPEC R40: an integer may be written in any notation, and is decoded exactly.
func TestWholeNumber(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]int64{
		"1": 1, "1.0": 1, "1e2": 100, "1E+2": 100, "-0": 0, "-0.0": 0, "0e999999999999": 0, "1.5e1": 15, "150e-1": 15, "-2.50e1": -25, "0.1e1": 1,
		"9007199254740993.0": 9007199254740993, "9223372036854775807": 1<<63 - 1, "922337203685477580.7e1": 1<<63 - 1, "-9223372036854775808.000": -1 << 63,
		"100000e-5": 1, "0.00001e5": 1, "1200": 1200, "1200.00": 1200,
	} {
		if got, err := wholeNumber([]byte(raw)); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", raw, got, err, want)
		}
	}
	for _, raw := range []string{"1.5", "1e-1", "1e400", "-1e400", "1e19", "9223372036854775808", "9223372036854775807.5", "1e999999999999", "1e-999999999999", "0.1"} {
		if got, err := wholeNumber([]byte(raw)); err == nil {
			t.Errorf("%s is %d", raw, got)
		}
	}
}

func FuzzWholeNumber(f *testing.F) {
	for _, seed := range []string{"1", "1.0", "1e2", "-0", "12.50e1", "1e-1", "9223372036854775807.0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		exact, ok := new(big.Rat).SetString(raw)
		if v := jsontext.Value(raw); len(raw) > 40 || !v.IsValid() || v.Kind() != jsontext.KindNumber || !ok {
			t.Skip()
		}
		got, err := wholeNumber([]byte(raw))
		fits := exact.IsInt() && exact.Num().IsInt64()
		if fits != (err == nil) || fits && exact.Num().Int64() != got {
			t.Errorf("%s: %d, %v", raw, got, err)
		}
	})
}
