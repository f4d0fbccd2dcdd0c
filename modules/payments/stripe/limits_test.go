package stripe_test

import (
	"testing"

	"github.com/orderflow-dev/orderflow/internal/breaker"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/stripe"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// SPEC C21: what Stripe can never take is known before an order is accepted, behind the breaker as well.
func TestCheckAmount(t *testing.T) {
	t.Parallel()
	p := payments.Guard(stripe.New(stripe.Options{SecretKey: "none"}), breaker.Options{})
	for _, m := range []money.Money{
		{Amount: 50, Currency: "EUR"}, {Amount: 99999999, Currency: "USD"}, {Amount: 1230, Currency: "KWD"}, {Amount: 50, Currency: "JPY"}, {Amount: 500, Currency: "ISK"},
		{Amount: 300, Currency: "MGA"}, {Amount: 999999999999, Currency: "IDR"}, {Amount: 0, Currency: "KPW"}, {Amount: 10, Currency: "BHD"}, {Amount: 1, Currency: "UGX"},
	} {
		if why := payments.CheckAmount(p, m); why != "" {
			t.Errorf("%v %s", m, why)
		}
	}
	for _, m := range []money.Money{
		{Amount: 1234, Currency: "KWD"}, {Amount: 1, Currency: "TND"}, {Amount: 49, Currency: "EUR"}, {Amount: 100000000, Currency: "EUR"}, {Amount: 1, Currency: "KPW"},
		{Amount: 1000, Currency: "IQD"}, {Amount: 301, Currency: "MGA"}, {Amount: 1 << 62, Currency: "ISK"}, {Amount: 100, Currency: "XAU"}, {Amount: 1000000, Currency: "UGX"},
	} {
		if why := payments.CheckAmount(p, m); why == "" {
			t.Errorf("%v can be paid", m)
		}
	}
}
