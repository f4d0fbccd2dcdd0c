// Command shop is Orderflow with a module, a payment provider and a processing step of a
// shop. It is an example to copy: this folder is a separate Go module and uses only the public
// packages of Orderflow.
//
//	go run . serve
//
// All commands and settings are those of command orderflow; PAYMENT_PROVIDER=invoice
// selects the provider.
package main

import (
	"example.com/shop/creditlimit"
	"example.com/shop/invoice"
	"example.com/shop/loyalty"

	"github.com/orderflow-dev/orderflow/app"
)

func main() {
	app.Main(
		app.WithModule(loyalty.New),
		app.WithProvider(invoice.Name, invoice.New),
		app.WithStep(creditlimit.Step),
	)
}
