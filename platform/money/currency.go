package money

import "strings"

// The currencies of ISO 4217 (list one, 2026-01) by the number of decimals of their minor unit.
// They are those that somebody can pay in: no funds codes such as CLF, no metals such as XAU,
// no XTS (for tests) and XXX (no currency), and no currencies that were replaced, such as DEM and BGN.
const (
	noDecimals    = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
	threeDecimals = "BHD IQD JOD KWD LYD OMR TND"
	twoDecimals   = `
		AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK
		DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD
		KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP
		PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH
		USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG`
)

var decimals = decimalsByCode(map[int]string{0: noDecimals, 2: twoDecimals, 3: threeDecimals})

func decimalsByCode(lists map[int]string) map[string]int {
	byCode := map[string]int{}
	for n, codes := range lists {
		for code := range strings.FieldsSeq(codes) {
			byCode[code] = n
		}
	}
	return byCode
}

// IsCurrency reports whether the code is that of a currency in use (ISO 4217).
func IsCurrency(code string) bool {
	_, known := decimals[code]
	return known
}

// Decimals returns the number of decimals of a currency's minor unit; 2 if the currency is unknown.
func Decimals(code string) int {
	if n, known := decimals[code]; known {
		return n
	}
	return 2
}
