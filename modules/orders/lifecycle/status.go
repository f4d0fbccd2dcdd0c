// Package lifecycle is the order aggregate: what an order may be and become.
//
// A decision function checks the table of transitions and returns events, and
// one function applies an event to a State. Writing, replaying the log and
// `orderflow verify` all use that function, so a change of an order is coded
// once (SPEC C9, E1). The package knows no database, no HTTP and no other module.
package lifecycle

import "slices"

// Status is the stage an order has reached.
type Status string

// The closed set of statuses, in the order of a successful order.
const (
	Pending    Status = "PENDING"
	Confirmed  Status = "CONFIRMED"
	Processing Status = "PROCESSING"
	Shipped    Status = "SHIPPED"
	Completed  Status = "COMPLETED"
	OnHold     Status = "ON_HOLD"
	Failed     Status = "FAILED"
	Cancelled  Status = "CANCELLED"
)

// Stock says what has become of an order's units.
type Stock uint8

// The closed set of stock states of a status.
const (
	StockNone      Stock = iota // nothing is held
	StockReserving              // held as soon as the reservation is made
	StockHeld                   // all lines are held
	StockShipped                // all lines have left the shelf
)

// Money is where an order's money is to be brought.
type Money string

// The closed set of money targets.
const (
	Authorize Money = "authorize"
	Capture   Money = "capture"
	Void      Money = "void"
	Keep      Money = "keep" // as it is
)

// Meaning is everything that a status implies. Processing, allowed actions, the
// invariants of verify and the documents of the API read it here.
type Meaning struct {
	Status Status
	Doc    string
	Stock  Stock
	Money  Money
	// Final statuses allow no further transition.
	Final bool
	// Closed statuses leave nothing to fulfil. FAILED is closed and not final:
	// it can be reopened.
	Closed bool
	// Automatic statuses are left by the system itself, so an order in one
	// always has a deadline (SPEC D6).
	Automatic bool
	// Suspended statuses keep stock and money as they were in the status before.
	Suspended bool
	// Entered is the event of a person who sets this status, where nothing else follows
	// from it. Statuses with a decision of their own, such as Ship, leave it empty.
	Entered EventType
	// Action is what allowedActions calls setting this status, such as ship. It is empty where
	// the action is not the status alone: in actions.go, or not a person's.
	Action string
}

// Statuses is the table of meanings, in the order in which statuses are listed.
var Statuses = []Meaning{
	{Status: Pending, Doc: "accepted and durable, not yet checked", Stock: StockReserving, Money: Authorize, Automatic: true},
	{Status: Confirmed, Doc: "stock reserved, payment authorized", Stock: StockHeld, Money: Keep, Automatic: true},
	{Status: Processing, Doc: "being fulfilled", Stock: StockHeld, Money: Keep},
	{Status: Shipped, Doc: "handed to the carrier", Stock: StockShipped, Money: Capture, Action: "ship"},
	{Status: OnHold, Doc: "a person must decide", Money: Keep, Suspended: true},
	{Status: Failed, Doc: "processing failed; stock and payment were released", Money: Void, Closed: true},
	{Status: Completed, Doc: "done", Stock: StockShipped, Money: Capture, Final: true, Closed: true, Action: "complete"},
	{Status: Cancelled, Doc: "ended before it was shipped", Money: Void, Final: true, Closed: true},
}

// All lists every status.
var All = With(func(Meaning) bool { return true })

// With lists the statuses whose meaning fits.
func With(fits func(Meaning) bool) (list []Status) {
	for _, m := range Statuses {
		if fits(m) {
			list = append(list, m.Status)
		}
	}
	return list
}

// Reserving are the statuses in which a reservation may still have to be made.
func Reserving() []Status { return With(func(m Meaning) bool { return m.Stock == StockReserving }) }

// HoldingStock are the statuses in which every line is held.
func HoldingStock() []Status { return With(func(m Meaning) bool { return m.Stock == StockHeld }) }

// StockTaken are the statuses in which every line has left the shelf.
func StockTaken() []Status { return With(func(m Meaning) bool { return m.Stock == StockShipped }) }

// Secured are the statuses that an order with a price reaches only with an
// authorized or captured payment.
func Secured() []Status {
	return With(func(m Meaning) bool { return !m.Suspended && (m.Money == Keep || m.Money == Capture) })
}

// Settling are the statuses in which an authorized payment may not stay as it is.
func Settling() []Status {
	return With(func(m Meaning) bool { return m.Money == Capture || m.Money == Void })
}

// Automatic are the statuses that the system leaves by itself.
func Automatic() []Status { return With(func(m Meaning) bool { return m.Automatic }) }

// Meaning returns what a status implies. An unknown status has no meaning: its
// money is kept and nothing happens by itself.
func (s Status) Meaning() Meaning {
	i := slices.IndexFunc(Statuses, func(m Meaning) bool { return m.Status == s })
	if i < 0 {
		return Meaning{Status: s, Money: Keep}
	}
	return Statuses[i]
}

// Valid reports whether s is in the closed set.
func (s Status) Valid() bool { return slices.Contains(All, s) }
