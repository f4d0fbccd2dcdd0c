package orders

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// The actions of this module in the audit trail. The commands of an order are in the event log, with
// their actors (SPEC E1), so that placing orders writes no entry.
var (
	letterFields = []string{"orderId", "step"}
	resolutions  = map[string]audit.Action{
		retry:  {Name: "dead-letter.retried", Subject: "dead-letter", Fields: letterFields, Doc: "The step of a dead letter was scheduled again."},
		skip:   {Name: "dead-letter.skipped", Subject: "dead-letter", Fields: letterFields, Doc: "The step of a dead letter was skipped."},
		cancel: {Name: "dead-letter.cancelled", Subject: "dead-letter", Fields: letterFields, Doc: "The order of a dead letter was cancelled."},
	}
	stepCompleted = audit.Action{Name: "step.completed", Subject: "order", Fields: []string{"step"}, Doc: "An administrator completed a step that held an order."}
	exportStarted = audit.Action{
		Name: "order-export.started", Subject: "order-export", Fields: []string{"format", "of", "statuses", "from", "to", "reference", "words"},
		Doc: "An export of orders began. `of` is the account of the orders, or `all`; `reference` and `words` only say that the export was filtered by them.",
	}
)

// AuditActions returns the actions that this module records.
func (*Module) AuditActions() []audit.Action {
	return []audit.Action{resolutions[retry], resolutions[skip], resolutions[cancel], stepCompleted, exportStarted}
}

// recordResolution records a resolution. The use cases of this module name their caller, who may
// differ from that of the context if a module of another program calls them.
func (u *unitOfWork) recordResolution(ctx context.Context, l DeadLetter, how string) error {
	return audit.Record(identity.NewContext(ctx, u.caller), u.tx, audit.Entry{
		Action: resolutions[how], Subject: l.ID.String(), Changes: []audit.Change{audit.Now("orderId", l.OrderID), audit.Now("step", l.Step)},
	})
}

func (u *unitOfWork) recordStep(ctx context.Context, order uuid.UUID, step string) error {
	return audit.Record(identity.NewContext(ctx, u.caller), u.tx, audit.Entry{Action: stepCompleted, Subject: order.String(), Changes: []audit.Change{audit.Now("step", step)}})
}

// recordExport records an export before it begins. It has a transaction of its own, because that of
// an export is read-only.
func (m *Module) recordExport(ctx context.Context, caller identity.Caller, f Filter, in format) error {
	of := "all"
	if f.UserID != uuid.Nil {
		of = f.UserID.String()
	}
	changes := []audit.Change{audit.Now("format", in.extension), audit.Now("of", of)}
	if len(f.Statuses) > 0 {
		changes = append(changes, audit.Now("statuses", joinStatuses(f.Statuses)))
	}
	if !f.From.IsZero() {
		changes = append(changes, audit.Now("from", f.From.UTC()))
	}
	if !f.To.IsZero() {
		changes = append(changes, audit.Now("to", f.To.UTC()))
	}
	if f.Reference != "" {
		changes = append(changes, audit.Change{Field: "reference"})
	}
	if f.Words != "" {
		changes = append(changes, audit.Change{Field: "words"})
	}
	return audit.Record(identity.NewContext(ctx, caller), m.Pool, audit.Entry{Action: exportStarted, Subject: "orders", User: caller.UserID, Changes: changes})
}

func joinStatuses(list []lifecycle.Status) string {
	var names []string
	for _, s := range list {
		names = append(names, string(s))
	}
	return strings.Join(names, " ")
}
