package money_test

import (
	"errors"
	"fmt"
	"math"

	"github.com/orderflow-dev/orderflow/platform/money"
)

// Sums that do not fit are errors and never wrap around.
func Example() {
	line, _ := money.Times(1250, 3)
	total, _ := money.Plus(line, 490)
	fmt.Println(money.Money{Amount: total, Currency: "EUR"})

	_, err := money.Plus(math.MaxInt64, 1)
	fmt.Println(errors.Is(err, money.ErrOverflow))
	// Output:
	// {4240 EUR}
	// true
}
