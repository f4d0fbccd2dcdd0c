package lifecycle

import (
	"fmt"
	"slices"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// Role is the relation of a caller to an order. Roles combine: an administrator who owns
// an order has both.
type Role uint8

// The closed set of roles.
const (
	System Role = 1 << iota
	Owner
	Admin
)

// RoleOf returns the roles that an event's actor had towards the owner's order.
func RoleOf(actor identity.Actor, owner string) (role Role) {
	kind, id := actor.Parts()
	if actor == identity.System {
		role |= System
	}
	if kind == "admin" {
		role |= Admin
	}
	if id == owner {
		role |= Owner
	}
	return role
}

// Transition is one row of the table.
type Transition struct {
	From, To Status
	By       Role
	// Back marks the way out of ON_HOLD, which leads only to the status before.
	Back bool
}

// Transitions is the status table (SPEC C9). A transition that is not in it does not exist.
var Transitions = []Transition{
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
	{From: Processing, To: Cancelled, By: Owner | Admin}, // of owners, until the order is shipped or as CANCEL_UNTIL says

	{From: Shipped, To: Completed, By: Admin},

	{From: OnHold, To: Pending, By: Admin, Back: true},
	{From: OnHold, To: Confirmed, By: Admin, Back: true},
	{From: OnHold, To: Processing, By: Admin, Back: true},
	{From: OnHold, To: Cancelled, By: Owner | Admin},

	{From: Failed, To: Pending, By: Admin},
}

// Next lists the statuses that a role may take the order to.
func Next(s State, role Role) []Status {
	var next []Status
	for _, t := range Transitions {
		if t.From == s.Status && t.By&role != 0 && (!t.Back || t.To == s.HeldFrom) {
			next = append(next, t.To)
		}
	}
	return next
}

// Check returns an *IllegalTransition unless the table has the transition.
func Check(s State, to Status, role Role) error {
	allowed := Next(s, role)
	if slices.Contains(allowed, to) {
		return nil
	}
	return &IllegalTransition{From: s.Status, To: to, Allowed: allowed}
}

// IllegalTransition is a transition that the table does not have for a role.
type IllegalTransition struct {
	From, To Status
	Allowed  []Status
}

// Error names both statuses.
func (e *IllegalTransition) Error() string {
	return fmt.Sprintf("an order that is %s cannot become %s", e.From, e.To)
}
