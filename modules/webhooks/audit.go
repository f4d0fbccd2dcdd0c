package webhooks

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/audit"
)

// The actions of this module in the audit trail. The URL of an endpoint may contain credentials, so
// entries contain its host alone, and say whether the rest changed.
var (
	endpointFields  = []string{"urlHost", "url", "types", "ordering", "enabled", "userId", "description"}
	auditCreated    = audit.Action{Name: "webhook.created", Subject: "webhook", Fields: endpointFields, Doc: "A webhook was created."}
	auditUpdated    = audit.Action{Name: "webhook.updated", Subject: "webhook", Fields: endpointFields, Doc: "A webhook changed. `url` and `description` are named without their values."}
	auditDeleted    = audit.Action{Name: "webhook.deleted", Subject: "webhook", Fields: endpointFields, Doc: "A webhook was deleted."}
	auditRotated    = audit.Action{Name: "webhook.secret-rotated", Subject: "webhook", Doc: "A webhook got a new secret."}
	auditReplayed   = audit.Action{Name: "webhook.replayed", Subject: "webhook", Fields: []string{"replayId", "fromNumber", "toNumber"}, Doc: "A replay of a webhook began."}
	auditStopped    = audit.Action{Name: "webhook.replay-cancelled", Subject: "webhook", Fields: []string{"replayId"}, Doc: "A replay of a webhook was cancelled."}
	auditResent     = audit.Action{Name: "webhook.resent", Subject: "webhook", Fields: []string{"number"}, Doc: "A delivery of a webhook was sent again."}
	auditTested     = audit.Action{Name: "webhook.tested", Subject: "webhook", Fields: []string{"urlHost"}, Doc: "A test message is about to be sent to a webhook."}
	auditDisabled   = audit.Action{Name: "webhook.disabled", Subject: "webhook", Fields: []string{"reason"}, Doc: "The server disabled a webhook: `failing`, `gone`, `credential` or `account`."}
	auditedWebhooks = []audit.Action{
		auditCreated, auditUpdated, auditDeleted, auditRotated, auditReplayed, auditStopped, auditResent, auditTested, auditDisabled,
	}
)

// AuditActions returns the actions that this module records.
func (*Module) AuditActions() []audit.Action { return auditedWebhooks }

func recordEndpoint(ctx context.Context, tx pgx.Tx, what audit.Action, hook *ent.Webhook, changes ...audit.Change) error {
	return audit.Record(ctx, tx, audit.Entry{Action: what, Subject: hook.ID.String(), User: hook.OwnerID, Changes: changes})
}

// differences returns the changes from one state of an endpoint to another; one of them may be nil.
func differences(before, after *ent.Webhook) (changes []audit.Change) {
	b, a := auditedFields(before), auditedFields(after)
	for i, field := range endpointFields {
		switch {
		case b[i] == a[i], field == "description" && (b[i] == nil && a[i] == "" || b[i] == "" && a[i] == nil):
		case field == "url" || field == "description":
			changes = append(changes, audit.Change{Field: field})
		default:
			changes = append(changes, audit.Change{Field: field, Before: b[i], After: a[i]})
		}
	}
	return changes
}

// auditedFields returns the values of endpointFields.
func auditedFields(w *ent.Webhook) (values [7]any) {
	if w == nil {
		return values
	}
	types := slices.Sorted(slices.Values(w.Types)) // as one text, which can be compared
	values = [7]any{hostOf(w.URL), w.URL, strings.Join(types, " "), w.Ordering, w.Enabled, nil, w.Description}
	if w.UserID != nil {
		values[5] = w.UserID.String()
	}
	return values
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// recordDisabled records that the server disabled an endpoint.
func recordDisabled(ctx context.Context, tx pgx.Tx, id, owner uuid.UUID, why string) error {
	return audit.Record(ctx, tx, audit.Entry{Action: auditDisabled, Subject: id.String(), User: owner, Changes: []audit.Change{audit.Now("reason", why)}})
}
