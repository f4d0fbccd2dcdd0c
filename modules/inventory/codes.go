package inventory

import "github.com/orderflow-dev/orderflow/platform/fault"

// ErrorCodes returns the codes of this module's faults.
func (*Module) ErrorCodes() fault.Catalog { return errorCodes }

var errorCodes = fault.Catalog{
	Codes: []fault.Code{
		{Name: "sku-taken", Kinds: []fault.Kind{fault.KindConflict},
			Meaning: "A product with this sku exists already, possibly inactive.",
			Action:  "Choose another sku, or change that product."},
		{Name: "untracked", Kinds: []fault.Kind{fault.KindConflict}, Retry: fault.RetryAfter,
			Meaning: "The stock of the product is not tracked, so it cannot be adjusted.",
			Action:  "Set `stock` with `PATCH /v1/products/{sku}` first."},
		{Name: "below-reserved", Kinds: []fault.Kind{fault.KindConflict}, Retry: fault.RetryAfter,
			Meaning: "Orders have reserved more units than the stock would have. The member `reserved` has their number.",
			Action:  "Adjust less, or cancel orders first."},
	},
	Fields: []fault.FieldCode{
		{Name: "unknown-currency", Meaning: "is not the ISO 4217 code of a currency in use."},
		{Name: "out-of-range", Meaning: "would make the stock too large or negative."},
	},
}
