package simulated

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// reference is the bank's reference of a payment, such as sim_0a1b..._1250EUR or
// sim_0a1b..._1250EUR_captureFails. It contains everything that later calls need.
type reference struct {
	id     string // derived from the authorisation's key
	amount money.Money
	trait  trait
}

// refer derives the reference of a payment from its authorisation.
func refer(a payments.Authorization) reference {
	return reference{id: digest(a.Key), amount: a.Amount, trait: traitOf(a)}
}

// refer is refer of the package, with the options of the bank.
func (b *Bank) refer(a payments.Authorization) reference {
	r := refer(a)
	if !b.o.NoTestTokens {
		return r
	}
	r.trait = ""
	if token(payments.Authorization{Method: a.Method}) != "" {
		r.trait = declines
	}
	return r
}

func (r reference) String() string {
	s := "sim_" + r.id + "_" + strconv.FormatInt(r.amount.Amount, 10) + r.amount.Currency
	if r.trait != "" {
		s += "_" + string(r.trait)
	}
	return s
}

// covers reports whether an amount in the payment's currency is within a limit.
func (r reference) covers(amount money.Money, limit int64) bool {
	return amount.Currency == r.amount.Currency && amount.Amount > 0 && amount.Amount <= limit
}

// parse parses a reference; an invalid one is rejected.
func parse(text string) (reference, error) {
	unknown := &payments.Rejected{Code: "unknown-reference", Detail: "There is no payment " + strconv.Quote(text) + "."}
	parts := strings.Split(text, "_")
	if len(parts) < 3 || len(parts) > 4 || parts[0] != "sim" || len(parts[1]) != digestLen || len(parts[2]) < 4 {
		return reference{}, unknown
	}
	digits, currency := parts[2][:len(parts[2])-3], parts[2][len(parts[2])-3:]
	amount, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || amount <= 0 {
		return reference{}, unknown
	}
	r := reference{id: parts[1], amount: money.Money{Amount: amount, Currency: currency}}
	if len(parts) == 4 {
		r.trait = trait(parts[3])
	}
	return r, nil
}

const digestLen = 32

// digest returns a hash of a key for use in references.
func digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:digestLen/2])
}
