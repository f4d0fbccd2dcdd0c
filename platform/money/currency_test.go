package money_test

import (
	"testing"

	"github.com/orderflow-dev/orderflow/platform/money"
)

// SPEC B21: the codes of currencies in use, with their decimals.
func TestCurrencies(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]int{
		"EUR": 2, "USD": 2, "JPY": 0, "KRW": 0, "CLP": 0, "ISK": 0, "VND": 0, "XAF": 0, "XPF": 0, "KWD": 3, "BHD": 3, "TND": 3, "LYD": 3, "XCD": 2, "XCG": 2, "MGA": 2, "MRU": 2, "UGX": 0, "HUF": 2,
	} {
		if got := money.Decimals(code); got != want || !money.IsCurrency(code) {
			t.Errorf("%s has %d decimals, known %t", code, got, money.IsCurrency(code))
		}
	}
	for _, code := range []string{"", "ABC", "XXX", "XTS", "XAU", "XAG", "XPT", "XPD", "XDR", "XSU", "XUA", "XBA", "DEM", "FRF", "ITL", "HRK", "BGN", "ZWL", "SLL", "VEF", "CLF", "BOV", "USN", "CHE", "MXV", "COU", "UYI", "eur", "EURO", "E R", "BTC"} {
		if money.IsCurrency(code) {
			t.Errorf("%q is no currency in use", code)
		}
	}
}
