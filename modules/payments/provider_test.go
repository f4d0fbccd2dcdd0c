package payments_test

import (
	"net/http/httptest"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/breaker"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/providertest"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
)

// SPEC D3: what every provider promises, asked of each. Stripe is asked in test/stripe.
func TestContract_D3(t *testing.T) {
	t.Parallel()
	bank := httptest.NewServer(simulated.Handler(simulated.NewBank(simulated.Options{Remember: true})))
	t.Cleanup(bank.Close)
	for name, p := range map[string]payments.Provider{
		"simulated":            simulated.NewBank(simulated.Options{}),
		"simulated, remembers": simulated.NewBank(simulated.Options{Remember: true}),
		"simulated, over HTTP": simulated.Dial(bank.URL),
		"simulated, guarded":   payments.Guard(simulated.NewBank(simulated.Options{}), breaker.Options{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.Check(t, p)
		})
	}
}
