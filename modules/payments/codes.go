package payments

import "github.com/orderflow-dev/orderflow/platform/fault"

// ErrorCodes returns the codes of this module's faults.
func (*Module) ErrorCodes() fault.Catalog { return errorCodes }

var errorCodes = fault.Catalog{
	Codes: []fault.Code{
		{Name: "refund-exceeds-order", Kinds: []fault.Kind{fault.KindConflict},
			Meaning: "More units of a sku would be refunded than were ordered and not refunded yet.",
			Action:  "Refund at most the units in `refundable`, of the sku in `sku`."},
	},
}
