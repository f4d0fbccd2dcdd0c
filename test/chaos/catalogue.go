package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
)

// product is an article of the catalogue.
type product struct {
	sku   string
	cents int64
	stock *int64 // nil is untracked
}

// hot is the product with high demand and too little stock.
const (
	hot      = "HOT"
	hotStock = 30
	plenty   = 10_000_000
)

var products = []product{
	{"BEANS", 1290, new(int64(plenty))},
	{"FILTERS", 590, new(int64(plenty))},
	{"GRINDER", 8900, new(int64(plenty))},
	{"VOUCHER", 2500, nil},
	{"SAMPLE", 0, new(int64(plenty))}, // free, so no payment is made
	{hot, 4990, new(int64(hotStock))},
}

func (l *lab) fillShelves(ctx context.Context, admin *person) error {
	for _, p := range products {
		a := admin.settle(ctx, &request{
			method: http.MethodPost, path: "/v1/products", key: "create-" + p.sku,
			body: body(map[string]any{
				"sku": p.sku, "name": "The " + p.sku, "stock": p.stock,
				"unitPrice": map[string]any{"amount": p.cents, "currency": "EUR"},
			}),
		})
		if a == nil || a.status != http.StatusCreated {
			return fmt.Errorf("create product %s: %v", p.sku, a)
		}
	}
	return nil
}

// wanted is the body of POST /v1/orders.
type wanted struct {
	Items         []item  `json:"items"`
	Reference     *string `json:"reference,omitempty"`
	Note          *string `json:"note,omitempty"`
	PaymentMethod *string `json:"paymentMethod,omitempty"`
	OnShortage    string  `json:"onShortage,omitempty"`
}

type item struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

func (w wanted) total() (cents int64) {
	for _, i := range w.Items {
		for _, p := range products {
			if p.sku == i.SKU {
				cents += p.cents * i.Quantity
			}
		}
	}
	return cents
}

// methods are the payment methods: mostly successful ones, and one for each behaviour of the
// simulated provider.
var methods = []string{
	"", "", "", "", "", "", "", "", "", "", "", "", "pm_card_visa", "pm_card_visa", "pm_card_visa",
	"pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds", "pm_card_authenticationRequired",
	"pm_sim_retry", "pm_sim_timeout", "pm_sim_refundFails",
}

// basket returns one to three lines; every fourth basket contains the hot product.
func basket(rng *rand.Rand) (w wanted) {
	for range 1 + rng.IntN(3) {
		p := products[rng.IntN(len(products)-1)]
		w.Items = append(w.Items, item{p.sku, 1 + rng.Int64N(4)})
	}
	if rng.IntN(4) == 0 {
		w.Items = append(w.Items, item{hot, 1 + rng.Int64N(3)})
	}
	if rng.IntN(5) == 0 {
		w.OnShortage = "hold"
	}
	if rng.IntN(3) == 0 {
		w.Note = new("as always <&> ünïcode")
	}
	if m := methods[rng.IntN(len(methods))]; m != "" {
		w.PaymentMethod = &m
	}
	return w
}
