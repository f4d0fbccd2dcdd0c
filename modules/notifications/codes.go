package notifications

import "github.com/orderflow-dev/orderflow/platform/fault"

// ErrorCodes returns the codes of this module's faults.
func (*Module) ErrorCodes() fault.Catalog { return errorCodes }

var errorCodes = fault.Catalog{
	Codes: []fault.Code{
		{Name: "two-credentials", Kinds: []fault.Kind{fault.KindUnauthenticated},
			Meaning: "The request has a ticket and an `Authorization` header.",
			Action:  "Send one of them."},
		{Name: "foreign-origin", Kinds: []fault.Kind{fault.KindForbidden},
			Meaning: "The page that opens the socket is of an origin that `ALLOWED_ORIGINS` does not list.",
			Action:  "Ask the operator to list the origin."},
		{Name: "too-many-streams", Kinds: []fault.Kind{fault.KindRateLimited}, Retry: fault.RetryLater,
			Meaning: "The account has the maximum number of open sockets, streams or long polls on this node (`STREAMS_PER_ACCOUNT`).",
			Action:  "Close one first, and share one stream within an application."},
	},
}
