// Package money represents amounts in minor units of one currency. Its arithmetic uses int64 and
// never wraps around: a result outside of the range is an error (SPEC C1).
package money

import (
	"errors"
	"math"
	"math/bits"
)

// Money is an exact amount in minor units: {1250, EUR} is twelve euro and fifty cents.
type Money struct {
	Amount   int64  `json:"amount" minimum:"0" doc:"Minor units, such as cents" example:"1250"`
	Currency string `json:"currency" pattern:"^[A-Z]{3}$" patternDescription:"ISO 4217 code" doc:"ISO 4217 code" example:"EUR"`
}

// ErrOverflow means that a sum or a product does not fit into an int64, or that an operand is
// negative.
var ErrOverflow = errors.New("amount is beyond the range of a 64-bit integer")

// Times multiplies two non-negative numbers, or returns ErrOverflow.
func Times(price, quantity int64) (int64, error) {
	hi, lo := bits.Mul64(uint64(price), uint64(quantity))
	if price < 0 || quantity < 0 || hi != 0 || lo > math.MaxInt64 {
		return 0, ErrOverflow
	}
	return int64(lo), nil
}

// Plus adds two non-negative numbers, or returns ErrOverflow.
func Plus(a, b int64) (int64, error) {
	if a < 0 || b < 0 || a > math.MaxInt64-b {
		return 0, ErrOverflow
	}
	return a + b, nil
}
