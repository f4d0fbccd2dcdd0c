package users

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/audit"
)

// The actions of this module in the audit trail. Names and addresses are personal data, so entries
// only say that they changed.
var (
	registered      = audit.Action{Name: "user.registered", Subject: "user", Fields: []string{"role"}, Doc: "An account was registered."}
	created         = audit.Action{Name: "user.created", Subject: "user", Fields: []string{"role"}, Doc: "An administrator was created by `admin create` or the first start."}
	roleChanged     = audit.Action{Name: "user.role-changed", Subject: "user", Fields: []string{"role"}, Doc: "The role of an account changed."}
	activated       = audit.Action{Name: "user.activated", Subject: "user", Fields: []string{"active"}, Doc: "A deactivated account was activated."}
	deactivated     = audit.Action{Name: "user.deactivated", Subject: "user", Fields: []string{"active"}, Doc: "An account was deactivated; its sessions and API keys ended, and its webhooks were disabled."}
	updated         = audit.Action{Name: "user.updated", Subject: "user", Fields: []string{"name"}, Doc: "The name of an account changed; the entry does not contain it."}
	deleted         = audit.Action{Name: "user.deleted", Subject: "user", Fields: []string{"role"}, Doc: "An account was deleted, by an administrator or by `admin create --take-over`; its sessions and API keys ended, and its webhooks were disabled."}
	replacedAccount = audit.Action{Name: "user.replaced", Subject: "user", Doc: "An account whose e-mail address was not verified was deleted, because the address was registered again."}
	emailVerified   = audit.Action{Name: "email.verified", Subject: "user", Doc: "The e-mail address of an account was verified with a code that was sent to it."}
	resetRequested  = audit.Action{Name: "password.reset-requested", Subject: "user", Doc: "A code to reset the password of an account was requested, by anyone or by an administrator."}
	passwordReset   = audit.Action{Name: "password.reset", Subject: "user", Doc: "The password of an account was reset with a code that was sent to its address; its sessions ended."}
	passwordChanged = audit.Action{Name: "user.password-changed", Subject: "user", Doc: "The password of an account changed; its sessions ended."}

	invitationCreated  = audit.Action{Name: "invitation.created", Subject: "invitation", Fields: []string{"role"}, Doc: "A person was invited to register."}
	invitationDeleted  = audit.Action{Name: "invitation.deleted", Subject: "invitation", Fields: []string{"role"}, Doc: "An invitation was withdrawn."}
	invitationAccepted = audit.Action{Name: "invitation.accepted", Subject: "invitation", Fields: []string{"role"}, Doc: "An account was registered with an invitation."}
)

// AuditActions returns the actions that this module records.
func (*Module) AuditActions() []audit.Action {
	return []audit.Action{registered, created, roleChanged, activated, deactivated, updated, deleted, passwordChanged,
		replacedAccount, emailVerified, resetRequested, passwordReset, invitationCreated, invitationDeleted, invitationAccepted}
}

func recordNew(ctx context.Context, tx pgx.Tx, what audit.Action, u *ent.User) error {
	return audit.Record(ctx, tx, audit.Entry{Action: what, Subject: u.ID.String(), User: u.ID, Changes: []audit.Change{audit.Now("role", u.Role)}})
}

// recordChanges writes an entry for each thing that a change of an account changed.
func recordChanges(ctx context.Context, tx pgx.Tx, before, after *ent.User) error {
	record := func(what audit.Action, changes ...audit.Change) error {
		return audit.Record(ctx, tx, audit.Entry{Action: what, Subject: after.ID.String(), User: after.ID, Changes: changes})
	}
	if after.DeletedAt != nil {
		return record(deleted, audit.Change{Field: "role", Before: after.Role})
	}
	if before.Role != after.Role {
		if err := record(roleChanged, audit.Changed("role", before.Role, after.Role)...); err != nil {
			return err
		}
	}
	if before.Active != after.Active {
		what := deactivated
		if after.Active {
			what = activated
		}
		if err := record(what, audit.Changed("active", before.Active, after.Active)...); err != nil {
			return err
		}
	}
	if before.Name != after.Name {
		return record(updated, audit.Change{Field: "name"})
	}
	return nil
}
