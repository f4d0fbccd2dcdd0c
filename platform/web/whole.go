package web

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// wholeNumbers decodes integers in any notation of JSON: 100, 100.0 and 1e2 are the same integer to
// JSON Schema (2020-12, section 4.2.3).
var wholeNumbers = json.WithUnmarshalers(json.JoinUnmarshalers(
	json.UnmarshalFromFunc(unmarshalWhole[int]), json.UnmarshalFromFunc(unmarshalWhole[int32]), json.UnmarshalFromFunc(unmarshalWhole[int64]),
))

func unmarshalWhole[T int | int32 | int64](dec *jsontext.Decoder, v *T) error {
	if dec.PeekKind() != jsontext.KindNumber {
		return errors.ErrUnsupported // null, or another type: as usual
	}
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	n, err := wholeNumber(raw)
	if err != nil || int64(T(n)) != n {
		return errNotWhole
	}
	*v = T(n)
	return nil
}

var errNotWhole = errors.New("not a whole number within range")

// wholeNumber returns the exact value of a number of JSON.
func wholeNumber(raw []byte) (int64, error) {
	if !bytes.ContainsAny(raw, ".eE") {
		return strconv.ParseInt(string(raw), 10, 64)
	}
	mantissa, power, hasPower := strings.Cut(strings.ToLower(string(raw)), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimRight(whole+fraction, "0")
	if strings.Trim(digits, "-0") == "" {
		return 0, nil
	}
	zeros := len(whole) - len(digits) // that follow the digits
	if hasPower {
		exponent, err := strconv.ParseInt(power, 10, 32)
		if err != nil {
			return 0, errNotWhole
		}
		zeros += int(exponent)
	}
	if zeros < 0 || zeros > 19 {
		return 0, errNotWhole
	}
	return strconv.ParseInt(digits+strings.Repeat("0", zeros), 10, 64)
}
