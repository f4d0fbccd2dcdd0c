package stripe

import (
	"fmt"
	"math"
	"strings"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Our minor units are those of ISO 4217, and so are Stripe's, with these exceptions
// (https://docs.stripe.com/currencies, "Zero-decimal currencies", "Special cases").
var (
	// No decimals by ISO 4217, two for Stripe, the last two being zeros.
	hundredfold = map[string]bool{"ISK": true, "UGX": true}
	// Two decimals by ISO 4217, none for Stripe.
	whole = map[string]bool{"MGA": true}
	// Three decimals for both, but Stripe wants the last one to be zero.
	tens = map[string]bool{"BHD": true, "JOD": true, "KWD": true, "OMR": true, "TND": true}
)

// units returns an amount in Stripe's units; an amount that these cannot represent is rejected
// and not rounded.
func units(m money.Money) (int64, error) {
	name := strings.ToUpper(m.Currency)
	switch {
	case hundredfold[name] && m.Amount <= math.MaxInt64/100:
		return m.Amount * 100, nil
	case hundredfold[name], whole[name] && m.Amount%100 != 0, tens[name] && m.Amount%10 != 0:
		return 0, &payments.Rejected{Code: "invalid-amount", Detail: fmt.Sprintf("Stripe has no %d minor units of %s.", m.Amount, name)}
	case whole[name]:
		return m.Amount / 100, nil
	default:
		return m.Amount, nil
	}
}

func currency(m money.Money) *string {
	return new(strings.ToLower(m.Currency))
}
