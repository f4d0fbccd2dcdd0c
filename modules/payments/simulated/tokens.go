package simulated

import (
	"maps"
	"slices"
)

// TestToken is a payment method that makes the simulated provider fail in a certain way.
type TestToken struct {
	Method string // value of paymentMethod
	Amount int64  // total in minor units with the same effect, in any currency; 0 if there is none
	Effect string // Markdown
}

// effects describe the faults that are not declines.
var effects = map[trait]string{
	retry:        "The first two attempts of each call fail; the order is processed some seconds later.",
	down:         "The provider does not respond to the authorization. After all attempts the order is FAILED with `payment-failed`.",
	timeout:      "Each call takes effect, and its first response is lost; the order is processed after a repetition.",
	slow:         "Each response takes two seconds.",
	captureFails: "The capture is rejected: the order stays as it is, with a dead letter for administrators.",
	voidFails:    "Cancelling the authorization is rejected: a dead letter.",
	refundFails:  "Refunds are rejected: `paymentStatus` becomes REFUND_FAILED.",
}

// TestTokens returns all test tokens: those for declines first.
func TestTokens() []TestToken {
	byMethod := map[string]int64{}
	for amount, method := range amounts {
		byMethod[method] = amount
	}
	var list []TestToken
	for _, method := range slices.Sorted(maps.Keys(declineCodes)) {
		list = append(list, TestToken{method, byMethod[method], "Declined with `" + declineCodes[method].Code + "`: " + declineCodes[method].Detail})
	}
	for _, method := range slices.Sorted(maps.Keys(traits)) {
		list = append(list, TestToken{method, byMethod[method], effects[traits[method]]})
	}
	return list
}
