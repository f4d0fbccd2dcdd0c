package storage

import (
	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
)

// The values of the column on_shortage.
const (
	FailOnShortage = "fail"
	HoldOnShortage = "hold"
)

// State reads the aggregate's state from a row.
func State(row *ent.Order) lifecycle.State {
	s := lifecycle.State{
		Terms: lifecycle.Terms{
			ID: row.ID, UserID: row.UserID, Currency: row.Currency, Total: row.Total, HoldOnShortage: row.OnShortage == HoldOnShortage,
		},
		Status: lifecycle.Status(row.Status), HeldFrom: lifecycle.Status(Deref(row.HeldFrom)), Reason: row.Reason,
		Payment: lifecycle.PaymentState{
			Status: lifecycle.PaymentStatus(row.PaymentStatus), Captured: row.Captured, Refunded: row.Refunded, Refunding: row.Refunding,
		},
		Tracking: row.Tracking, Reserved: row.ReservedUntil != nil, Stalled: Deref(row.Stalled), Deleted: row.DeletedAt != nil,
		Round: row.Round, Version: row.Version, UpdatedAt: row.UpdatedAt,
	}
	if row.FailureCode != nil {
		s.Failure = &lifecycle.Failure{Code: *row.FailureCode, Detail: Deref(row.FailureDetail), SKUs: row.FailureSkus}
	}
	return s
}

// Deadlines reads what is stored beside the state.
func Deadlines(row *ent.Order) lifecycle.Deadlines {
	return lifecycle.Deadlines{ReservedUntil: row.ReservedUntil, DueAt: row.DueAt}
}

// Fill writes the aggregate into its row: everything that events and deadlines change.
func Fill(o *lifecycle.Order, row *ent.Order) {
	row.Status, row.HeldFrom, row.Reason = string(o.Status), NilIfEmpty(string(o.HeldFrom)), o.Reason
	row.FailureCode, row.FailureDetail, row.FailureSkus = nil, nil, nil
	if f := o.Failure; f != nil {
		row.FailureCode, row.FailureDetail, row.FailureSkus = &f.Code, &f.Detail, f.SKUs
	}
	row.PaymentStatus = string(o.Payment.Status)
	row.Captured, row.Refunded, row.Refunding = o.Payment.Captured, o.Payment.Refunded, o.Payment.Refunding
	row.Tracking, row.Stalled = o.Tracking, NilIfEmpty(o.Stalled)
	row.ReservedUntil, row.DueAt = o.ReservedUntil, o.DueAt
	row.Version, row.Round, row.Steps, row.UpdatedAt = o.Version, o.Round, int64(len(o.Steps)), o.UpdatedAt
	if o.Deleted && row.DeletedAt == nil {
		row.DeletedAt = new(o.UpdatedAt)
	}
}

// NilIfEmpty is null for the empty text.
func NilIfEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Deref is the empty text for null.
func Deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
