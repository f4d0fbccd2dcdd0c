package simulated

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// SPEC F12, CWE-489: without test tokens no customer can choose the fault of a payment. Test methods are
// declined like any unknown one, and an amount is only an amount.
func TestNoTestTokens(t *testing.T) {
	t.Parallel()
	bank := NewBank(Options{NoTestTokens: true})
	authorize := func(method string, amount int64) error {
		_, err := bank.Authorize(t.Context(), payments.Authorization{
			Key: uuid.NewString(), Method: method, Amount: money.Money{Amount: amount, Currency: "EUR"}})
		return err
	}
	for method := range traits {
		if _, declined := errors.AsType[*payments.Declined](authorize(method, 1250)); !declined {
			t.Errorf("%s is not declined", method)
		}
	}
	for amount := range amounts {
		if err := authorize("", amount); err != nil {
			t.Errorf("an amount of %d: %v", amount, err)
		}
	}
}
