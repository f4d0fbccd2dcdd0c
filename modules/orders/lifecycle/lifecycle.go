// Package lifecycle says what an order may be and become, as data.
//
// The table below is the one place that decides. Everything that moves an order
// asks Check in the transaction that writes the move, and everything that shows
// what may be done asks Next, so the two cannot disagree (SPEC C9, C10).
package lifecycle

import (
	"fmt"
	"slices"
)

// Status is where an order stands.
type Status string

// The closed set of statuses, in the order of a good day.
const (
	Pending    Status = "PENDING"    // accepted and durable, not yet checked
	Confirmed  Status = "CONFIRMED"  // stock reserved, payment authorised
	Processing Status = "PROCESSING" // being fulfilled
	Shipped    Status = "SHIPPED"    // with the carrier
	Completed  Status = "COMPLETED"  // final
	OnHold     Status = "ON_HOLD"    // a person must decide
	Failed     Status = "FAILED"     // gave up, everything undone
	Cancelled  Status = "CANCELLED"  // final
)

// All lists every status.
var All = []Status{Pending, Confirmed, Processing, Shipped, OnHold, Failed, Completed, Cancelled}

// Who makes a move.
type Who uint8

// The parties of the table. An administrator who owns an order is both.
const (
	System Who = 1 << iota
	Owner
	Admin
)

// Move is one row of the table.
type Move struct {
	From, To Status
	By       Who
	// Back marks the way out of ON_HOLD, which leads only where the order was before.
	Back bool
}

// Moves is the status table (SPEC C9). What is not in it does not exist.
var Moves = []Move{
	{From: Pending, To: Confirmed, By: System},
	{From: Pending, To: OnHold, By: System},
	{From: Pending, To: Failed, By: System},
	{From: Pending, To: Cancelled, By: Owner | Admin},

	{From: Confirmed, To: Processing, By: System},
	{From: Confirmed, To: OnHold, By: Admin},
	{From: Confirmed, To: Cancelled, By: Owner | Admin},

	{From: Processing, To: Shipped, By: Admin},
	{From: Processing, To: Completed, By: Admin},
	{From: Processing, To: OnHold, By: Admin},
	{From: Processing, To: Cancelled, By: Admin},

	{From: Shipped, To: Completed, By: Admin},

	{From: OnHold, To: Pending, By: Admin, Back: true},
	{From: OnHold, To: Confirmed, By: Admin, Back: true},
	{From: OnHold, To: Processing, By: Admin, Back: true},
	{From: OnHold, To: Cancelled, By: Owner | Admin},

	{From: Failed, To: Pending, By: Admin},
}

// At is a position: a status and, on hold, the status that release leads back to.
type At struct {
	Status   Status
	HeldFrom Status
}

// Next lists what the order may become at the hands of who.
func Next(at At, who Who) []Status {
	var next []Status
	for _, m := range Moves {
		if m.From == at.Status && m.By&who != 0 && (!m.Back || m.To == at.HeldFrom) {
			next = append(next, m.To)
		}
	}
	return next
}

// Check returns an *IllegalTransition unless the table has the move.
func Check(at At, to Status, who Who) error {
	allowed := Next(at, who)
	if slices.Contains(allowed, to) {
		return nil
	}
	return &IllegalTransition{From: at.Status, To: to, Allowed: allowed}
}

// IllegalTransition is a move that the table does not have for that party.
type IllegalTransition struct {
	From, To Status
	Allowed  []Status
}

func (e *IllegalTransition) Error() string {
	return fmt.Sprintf("an order that is %s cannot become %s", e.From, e.To)
}

// Final tells whether nothing can follow.
func (s Status) Final() bool { return s == Completed || s == Cancelled }

// InHand tells whether the system must move the order on by itself: such an
// order always has a deadline (SPEC D6).
func (s Status) InHand() bool { return s == Pending || s == Confirmed }

// Valid tells whether s is a status at all.
func (s Status) Valid() bool { return slices.Contains(All, s) }
