package users

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/invitation"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/mail"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// The values of Deps.Registration.
const (
	registrationOpen   = "open"
	registrationInvite = "invite"
	registrationOff    = "off"
)

// invitationLife begins when the message is sent.
const invitationLife = 7 * 24 * time.Hour

func registrationClosed(detail string) error {
	return fault.New(fault.KindForbidden, "registration-closed", "%s", detail)
}

const (
	closedToAll       = "This server allows no registrations."
	closedToUninvited = "Registration needs a valid invitation to the e-mail address."
)

// mayRegister decides by the mode of the server alone.
func (m *Module) mayRegister(token string) error {
	switch {
	case m.registration == registrationOff:
		return registrationClosed(closedToAll)
	case m.registration == registrationInvite && token == "":
		return registrationClosed(closedToUninvited)
	}
	return nil
}

// uninvited is the refusal of a token that is unknown, used, expired, or for another address.
func (m *Module) uninvited() error {
	if m.registration == registrationInvite {
		return registrationClosed(closedToUninvited)
	}
	return invalidToken("/invitation", "invalid-invitation", "The invitation is not valid, was used, has expired, or is for another e-mail address.")
}

// admitInvited gives the draft the role of its invitation. An invitation ends with the rights of the
// administrator who created it.
func (m *Module) admitInvited(ctx context.Context, d *draft, token string) error {
	hash, ok := hashOf(token)
	if !ok {
		return m.uninvited()
	}
	err := m.pool.QueryRow(ctx, `
		select i.id, i.role from invitations i join users u on u.id = i.created_by
		where i.hash = $1 and i.email_key = $2 and i.expires_at > now() and u.role = 'admin' and u.active and u.deleted_at is null`,
		hash, d.key).Scan(&d.invitation, &d.role)
	if errors.Is(err, pgx.ErrNoRows) {
		return m.uninvited()
	}
	if err != nil {
		return fmt.Errorf("look for an invitation: %w", err)
	}
	return nil
}

// acceptInvitation deletes the invitation, so that it is used once. It fails if the invitation has ended
// since it was checked.
func (m *Module) acceptInvitation(ctx context.Context, tx pgx.Tx, d draft, u *ent.User) error {
	tag, err := tx.Exec(ctx, `
		delete from invitations i using users u
		where i.id = $1 and i.role = $2 and i.expires_at > now() and u.id = i.created_by and u.role = 'admin' and u.active and u.deleted_at is null`,
		d.invitation, string(d.role))
	if err != nil {
		return fmt.Errorf("accept invitation %s: %w", d.invitation, err)
	}
	if tag.RowsAffected() == 0 {
		return m.uninvited()
	}
	return audit.Record(ctx, tx, audit.Entry{
		Action: invitationAccepted, Subject: d.invitation.String(), User: u.ID, Changes: []audit.Change{audit.Now("role", u.Role)},
	})
}

// newAddress returns a new e-mail address as it is shown and as it is compared, or its fault.
func newAddress(email string) (shown, folded string, err error) {
	shown, folded, ok := address(email)
	if !ok {
		return "", "", fault.Invalid(invalidEmail())
	}
	if why := doubt(shown); why != "" {
		return "", "", fault.Invalid(fault.Field{Pointer: "/email", Code: "invalid", Message: why})
	}
	return shown, folded, nil
}

// invite creates an invitation and sends its token to the address.
func (m *Module) invite(ctx context.Context, by identity.Caller, key idempotency.Key[*ent.Invitation], email string, role identity.Role) (idempotency.Result[*ent.Invitation], error) {
	none := idempotency.Result[*ent.Invitation]{}
	if m.registration == registrationOff {
		return none, registrationClosed(closedToAll)
	}
	if err := m.requireMailer(); err != nil {
		return none, err
	}
	shown, folded, err := newAddress(email)
	if err != nil {
		return none, err
	}
	return idempotency.Do(ctx, m.running, m.pool, key, func(tx pgx.Tx) (*ent.Invitation, error) {
		taken, err := m.isTaken(ctx, tx, shown)
		if err != nil {
			return nil, err
		}
		if taken {
			return nil, emailTaken()
		}
		i, err := insertInvitation(ctx, tx, by, shown, folded, role)
		if err != nil {
			return nil, err
		}
		if err := recordInvitation(ctx, tx, invitationCreated, i); err != nil {
			return nil, err
		}
		return i, m.enqueue(ctx, tx, MailArgs{Message: mailInvitation, ID: i.ID})
	})
}

// insertInvitation replaces an expired invitation of the address; one that is valid is a 409.
func insertInvitation(ctx context.Context, tx pgx.Tx, by identity.Caller, shown, folded string, role identity.Role) (*ent.Invitation, error) {
	if _, err := ent.On(tx).Invitation.Delete().Where(invitation.EmailKey(folded), invitation.ExpiresAtLTE(time.Now())).Exec(ctx); err != nil {
		return nil, fmt.Errorf("delete an expired invitation: %w", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	at := postgres.Now()
	i, err := ent.On(tx).Invitation.Create().
		SetID(id).SetEmail(shown).SetEmailKey(folded).SetRole(string(role)).SetCreatedBy(by.UserID).
		SetCreatedAt(at).SetExpiresAt(at.Add(invitationLife)).
		Save(ctx)
	if postgres.Violates(err, "invitations_email") {
		return nil, fault.New(fault.KindConflict, "already-invited", "There is an invitation of this e-mail address; delete it to send another one.")
	}
	if err != nil {
		return nil, fmt.Errorf("write an invitation: %w", err)
	}
	return i, nil
}

func recordInvitation(ctx context.Context, tx pgx.Tx, what audit.Action, i *ent.Invitation) error {
	return audit.Record(ctx, tx, audit.Entry{Action: what, Subject: i.ID.String(), Changes: []audit.Change{audit.Now("role", i.Role)}})
}

// composeInvitation creates the token of an invitation and writes its message.
func (m *Module) composeInvitation(ctx context.Context, tx pgx.Tx, args MailArgs) (message mail.Message, isDue bool, err error) {
	token, hash := newToken()
	i, err := ent.On(tx).Invitation.UpdateOneID(args.ID).Where(invitation.ExpiresAtGT(time.Now())).
		SetHash(hash).SetExpiresAt(postgres.Now().Add(invitationLife)).Save(ctx)
	if ent.IsNotFound(err) {
		return mail.Message{}, false, nil
	}
	if err != nil {
		return mail.Message{}, false, fmt.Errorf("issue the token of invitation %s: %w", args.ID, err)
	}
	return m.request(i.Email, args, token), true, nil
}

// invitations returns the invitations that were not accepted, newest first, that are older than before.
func (m *Module) invitations(ctx context.Context, before uuid.UUID, limit int) ([]*ent.Invitation, error) {
	query := ent.On(m.pool).Invitation.Query()
	if before != uuid.Nil {
		query.Where(invitation.IDLT(before))
	}
	list, err := query.Order(ent.Desc(invitation.FieldID)).Limit(limit).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	return list, nil
}

func invitationOf(ctx context.Context, q postgres.Querier, id uuid.UUID) (*ent.Invitation, error) {
	i, err := ent.On(q).Invitation.Get(ctx, id)
	if ent.IsNotFound(err) {
		return nil, fault.NotFound("invitation")
	}
	if err != nil {
		return nil, fmt.Errorf("invitation %s: %w", id, err)
	}
	return i, nil
}

// withdraw deletes an invitation; its token is not valid any more.
func (m *Module) withdraw(ctx context.Context, id uuid.UUID) error {
	return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		i, err := invitationOf(ctx, tx, id)
		if err != nil {
			return err
		}
		n, err := ent.On(tx).Invitation.Delete().Where(invitation.ID(id)).Exec(ctx)
		if err != nil {
			return fmt.Errorf("delete invitation %s: %w", id, err)
		}
		if n == 0 { // a concurrent request was faster
			return fault.NotFound("invitation")
		}
		return recordInvitation(ctx, tx, invitationDeleted, i)
	})
}
