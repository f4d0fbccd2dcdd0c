// Package money is an amount in minor units of one currency. Arithmetic is on
// int64 and never wraps: what does not fit is an error (SPEC C1).
package money

import (
	"errors"
	"math"
	"math/bits"
)

// Money is an exact amount: 1250 EUR is twelve euro fifty.
type Money struct {
	Amount   int64  `json:"amount" minimum:"0" doc:"Minor units, such as cents" example:"1250"`
	Currency string `json:"currency" pattern:"^[A-Z]{3}$" patternDescription:"ISO 4217 code" doc:"ISO 4217 code" example:"EUR"`
}

// ErrOverflow says that a sum or a product is beyond int64.
var ErrOverflow = errors.New("amount is beyond the range of a 64-bit integer")

// Times multiplies two non-negative numbers.
func Times(price, quantity int64) (int64, error) {
	hi, lo := bits.Mul64(uint64(price), uint64(quantity))
	if price < 0 || quantity < 0 || hi != 0 || lo > math.MaxInt64 {
		return 0, ErrOverflow
	}
	return int64(lo), nil
}

// Plus adds two non-negative numbers.
func Plus(a, b int64) (int64, error) {
	if a < 0 || b < 0 || a > math.MaxInt64-b {
		return 0, ErrOverflow
	}
	return a + b, nil
}
