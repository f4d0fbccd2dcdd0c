package money_test

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/platform/money"
)

// SPEC C1: what comes out is exact, or it is an error. The judge is math/big.
func TestExactOrAnError(t *testing.T) {
	t.Parallel()
	edges := rapid.SampledFrom([]int64{0, 1, 2, 3, 1 << 31, 1<<32 - 1, 3037000499, 3037000500, math.MaxInt64 / 2, math.MaxInt64 - 1, math.MaxInt64, -1, math.MinInt64, math.MinInt64 + 1})
	number := rapid.OneOf(edges, rapid.Int64(), rapid.Int64Range(0, 1<<33))
	for name, op := range map[string]struct {
		ours  func(a, b int64) (int64, error)
		judge func(z, a, b *big.Int) *big.Int
	}{
		"times": {money.Times, (*big.Int).Mul},
		"plus":  {money.Plus, (*big.Int).Add},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(r *rapid.T) {
				a, b := number.Draw(r, "a"), number.Draw(r, "b")

				got, err := op.ours(a, b)

				want := op.judge(new(big.Int), big.NewInt(a), big.NewInt(b))
				fits := a >= 0 && b >= 0 && want.IsInt64()
				switch {
				case fits && (err != nil || got != want.Int64()):
					r.Fatalf("%d and %d: %d, %v, want %v", a, b, got, err, want)
				case !fits && (!errors.Is(err, money.ErrOverflow) || got != 0):
					r.Fatalf("%d and %d: %d, %v, want an overflow", a, b, got, err)
				}
			})
		})
	}
}
