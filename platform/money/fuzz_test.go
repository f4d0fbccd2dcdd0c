package money_test

import (
	"errors"
	"math/big"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func FuzzArithmetic(f *testing.F) {
	f.Add(int64(3037000500), int64(3037000500))
	f.Add(int64(-1), int64(1))
	f.Fuzz(func(t *testing.T, a, b int64) {
		product, tooMuch := money.Times(a, b)
		sum, tooMany := money.Plus(a, b)
		exact(t, new(big.Int).Mul(big.NewInt(a), big.NewInt(b)), a >= 0 && b >= 0, product, tooMuch)
		exact(t, new(big.Int).Add(big.NewInt(a), big.NewInt(b)), a >= 0 && b >= 0, sum, tooMany)
	})
}

func exact(t *testing.T, want *big.Int, allowed bool, got int64, err error) {
	t.Helper()
	fits := allowed && want.IsInt64()
	if fits != (err == nil) || fits && got != want.Int64() || err != nil && !errors.Is(err, money.ErrOverflow) {
		t.Errorf("%d, %v, want %s", got, err, want)
	}
}

// SPEC C1: an amount is the digits that were sent, or it is refused.
func FuzzAmount(f *testing.F) {
	for _, seed := range []string{"0", "-0", "1250", "9223372036854775807", "9223372036854775808", "1.0", "1e3", "01", "null", `"1"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var m money.Money
		err := web.Decode([]byte(`{"currency":"EUR","amount":`+text+`}`), &m)
		if err != nil {
			if _, told := fault.As(err); !told {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		var again money.Money
		raw, err := canonical.Marshal(m)
		if err == nil {
			err = web.Decode(raw, &again)
		}
		if want, whole := new(big.Int).SetString(text, 10); err != nil || again != m || whole && want.Cmp(big.NewInt(m.Amount)) != 0 {
			t.Errorf("%q became %+v, %v", text, m, err)
		}
	})
}
