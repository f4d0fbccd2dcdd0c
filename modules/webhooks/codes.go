package webhooks

import "github.com/orderflow-dev/orderflow/platform/fault"

// ErrorCodes returns the codes of this module's faults.
func (*Module) ErrorCodes() fault.Catalog { return errorCodes }

var errorCodes = fault.Catalog{
	Codes: []fault.Code{
		{Name: "too-many-webhooks", Kinds: []fault.Kind{fault.KindConflict}, Retry: fault.RetryAfter,
			Meaning: "The account, or all administrators together, has the maximum number of webhooks.",
			Action:  "Delete or disable one first."},
		{Name: "webhook-disabled", Kinds: []fault.Kind{fault.KindConflict}, Retry: fault.RetryAfter,
			Meaning: "The webhook is disabled; `disabledReason` of the webhook says why.",
			Action:  "Enable it with `PATCH /v1/webhooks/{id}` and `{\"enabled\": true}`."},
		{Name: "too-many-secrets", Kinds: []fault.Kind{fault.KindConflict}, Retry: fault.RetryLater,
			Meaning: "Nine replaced secrets of the webhook still sign its messages, each for a day.",
			Action:  "Wait until one expires."},
		{Name: "delivery-under-way", Kinds: []fault.Kind{fault.KindConflict}, Retry: fault.RetryLater,
			Meaning: "The delivery is being attempted, or its next attempt is scheduled.",
			Action:  "Wait for its result."},
		{Name: "replay-running", Kinds: []fault.Kind{fault.KindConflict}, Retry: fault.RetryAfter,
			Meaning: "A replay of the webhook is running.",
			Action:  "Wait until it ends, or cancel it."},
		{Name: "too-many-tests", Kinds: []fault.Kind{fault.KindRateLimited}, Retry: fault.RetryLater,
			Meaning: "A test of the webhook is running, or too many webhooks of the account wait for their receivers.",
			Action:  "Wait."},
	},
	Fields: []fault.FieldCode{
		{Name: "not-public", Meaning: "leads to an address that is not public."},
		{Name: "unresolvable", Meaning: "has a host name without an address."},
		{Name: "unknown", Meaning: "is not the id of an active user."},
	},
}
