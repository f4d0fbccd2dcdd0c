package stripe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orderflow-dev/orderflow/platform/money"
)

// supported are the presentment currencies of Stripe (https://docs.stripe.com/currencies). An account
// may take fewer; which, only Stripe knows.
var supported = strings.Fields(`
	AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CVE CZK
	DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JPY KES KGS KHR KMF
	KRW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK
	PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TOP TRY TTD TWD TZS UAH UGX USD UYU
	UZS VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW BHD JOD KWD OMR TND`)

// minimum has the smallest charges of currencies, in Stripe's units, where Stripe states them
// (https://docs.stripe.com/currencies, "Minimum and maximum charge amounts").
var minimum = map[string]int64{
	"AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250, "EUR": 50, "GBP": 30, "HKD": 400, "HUF": 17500, "INR": 50,
	"JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200, "RON": 200, "SEK": 300, "SGD": 50, "THB": 1000, "USD": 50,
}

// maximum is the largest amount, eight digits, in Stripe's units; rupiahs may have twelve.
const maximum, maximumIDR = 99_999_999, 999_999_999_999

// CheckAmount implements payments.AmountChecker.
func (p *Provider) CheckAmount(m money.Money) string {
	if !slices.Contains(supported, m.Currency) {
		return "cannot be paid: the payment provider does not take " + m.Currency
	}
	charge, err := units(m)
	if err != nil {
		return "cannot be paid: the payment provider takes no fraction of this size in " + m.Currency
	}
	limit := int64(maximum)
	if m.Currency == "IDR" {
		limit = maximumIDR
	}
	switch {
	case charge > limit:
		return "cannot be paid: it is more than the payment provider takes at once"
	case charge < minimum[m.Currency]:
		return fmt.Sprintf("cannot be paid: the payment provider takes at least %d minor units of %s", minimum[m.Currency], m.Currency)
	}
	return ""
}
