package users

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/internal/printable"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const maxName = 200 // characters

func emailTaken() error {
	return fault.New(fault.KindConflict, "email-taken", "An account with this e-mail address already exists.")
}

func invalidEmail() fault.Field {
	return fault.Field{Pointer: "/email", Code: "invalid", Message: "must be an e-mail address such as name@example.com of at most 254 bytes"}
}

func tooManyRegistrations() *fault.Error {
	return fault.New(fault.KindRateLimited, "too-many-registrations", "Too many accounts were registered from this network address; try again later.")
}

// createAccount registers an account (SPEC A1, A9, A10). The registration counts against the limit of
// the network address before anything is read or hashed, also if the e-mail address is taken,
// but not if the registration fails for an internal reason.
func (m *Module) createAccount(ctx context.Context, n RegistrationRequest) (*ent.User, error) {
	if err := m.mayRegister(n.Invitation); err != nil {
		return nil, err
	}
	fresh, err := draftOf(n.Email, n.Password, n.Name, identity.User)
	if err != nil {
		return nil, err
	}
	giveBack, wait, refused := m.beginRegistration(ctx, clientaddr.From(ctx))
	if refused {
		return nil, tooManyRegistrations().WithRetryAfter(wait)
	}
	uncount := false
	u, err := m.admit(ctx, &fresh, n.Invitation, func() (*ent.User, error) {
		if err := m.finish(ctx, &fresh, n.Password, newcomer); err != nil {
			uncount = !fault.Is(err, "email-taken")
			return nil, err
		}
		return m.insert(ctx, fresh, registered)
	})
	if uncount || failedInternally(err) {
		giveBack(ctx)
	}
	return u, err
}

// admit decides whether the draft needs a verification: not with an invitation, whose token was sent
// to the address. Then it calls create.
func (m *Module) admit(ctx context.Context, d *draft, invitation string, create func() (*ent.User, error)) (u *ent.User, err error) {
	if invitation != "" {
		if err := m.admitInvited(ctx, d, invitation); err != nil {
			return nil, err
		}
		return create()
	}
	d.unverified = m.verifyEmail
	if !d.unverified {
		return create()
	}
	err = m.messages.allow(ctx, mailVerification, d.key, func() (err error) {
		u, err = create()
		return err
	})
	return u, err
}

// insert writes an account and its audit entry.
func (m *Module) insert(ctx context.Context, d draft, what audit.Action) (u *ent.User, err error) {
	var replaced uuid.UUID
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		u, replaced, err = m.add(ctx, tx, d, what)
		return err
	})
	m.ended(ctx, replaced)
	return u, err
}

// add writes an account, its audit entry and the job of its message. It returns the account that it
// replaced, for ended.
func (m *Module) add(ctx context.Context, tx pgx.Tx, d draft, what audit.Action) (u *ent.User, replaced uuid.UUID, err error) {
	if replaced, err = m.replaceUnverified(ctx, tx, d.key); err != nil {
		return nil, replaced, err
	}
	if u, err = d.insert(ctx, tx); err != nil {
		return nil, replaced, err
	}
	if err := recordNew(ctx, tx, what, u); err != nil {
		return nil, replaced, err
	}
	if d.invitation != uuid.Nil {
		return u, replaced, m.acceptInvitation(ctx, tx, d, u)
	}
	if d.unverified {
		return u, replaced, m.enqueue(ctx, tx, MailArgs{Message: mailVerification, ID: u.ID, Facts: originOf(ctx)})
	}
	return u, replaced, nil
}

// ended announces the end of the sessions of an account, if there is one. It is called after the
// transaction, also after an error, because the commit may have succeeded.
func (m *Module) ended(ctx context.Context, id uuid.UUID) {
	if id != uuid.Nil {
		m.sessions.Committed(ctx, id)
	}
}

// draft is a validated account with a hashed password, ready to be inserted. Hashing happens
// outside of transactions.
type draft struct {
	email, key, name, hash string
	role                   identity.Role
	mustChange             bool      // the password
	unverified             bool      // the address must be verified
	invitation             uuid.UUID // that is accepted
}

func (m *Module) prepare(ctx context.Context, email, password, name string, role identity.Role) (draft, error) {
	d, err := draftOf(email, password, name, role)
	if err == nil {
		err = m.finish(ctx, &d, password, known)
	}
	return d, err
}

func draftOf(email, password, name string, role identity.Role) (draft, error) {
	shown, key, ok := address(email)
	var wrong []fault.Field
	if !ok {
		wrong = append(wrong, invalidEmail())
	} else if why := doubt(shown); why != "" {
		wrong = append(wrong, fault.Field{Pointer: "/email", Code: "invalid", Message: why})
	}
	wrong = append(wrong, validatePassword("/password", password, shown)...)
	wrong = append(wrong, validateName(name)...)
	if wrong != nil {
		return draft{}, fault.Invalid(wrong...)
	}
	return draft{email: shown, key: key, name: name, role: role}, nil
}

// finish hashes the password.
func (m *Module) finish(ctx context.Context, d *draft, password string, class int) error {
	// The unique index decides. Checking first avoids hashing for an address that is taken.
	taken, err := m.isTaken(ctx, m.pool, d.email)
	if err != nil {
		return err
	}
	if taken {
		return emailTaken()
	}
	d.hash, err = m.hashes.make(ctx, class, password)
	return err
}

func (d draft) insert(ctx context.Context, q postgres.Querier) (*ent.User, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	at := postgres.Now()
	u, err := ent.On(q).User.Create().
		SetID(id).SetEmail(d.email).SetEmailKey(d.key).SetName(d.name).
		SetRole(string(d.role)).SetPasswordHash(d.hash).SetPasswordMustChange(d.mustChange).
		SetCreatedAt(at).SetUpdatedAt(at).SetEmailVerifiedAt(at).
		Save(ctx)
	if postgres.Violates(err, "users_email") {
		return nil, emailTaken()
	}
	if err == nil && d.unverified { // the column has a default, and ent cannot insert a null
		u, err = ent.On(q).User.UpdateOneID(id).ClearEmailVerifiedAt().Save(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("write an account: %w", err)
	}
	return u, nil
}

func validateName(name string) []fault.Field {
	switch {
	case utf8.RuneCountInString(name) > maxName:
		return []fault.Field{{Pointer: "/name", Code: "too-long", Message: "must have at most 200 characters"}}
	case strings.ContainsFunc(name, unicode.IsControl):
		return []fault.Field{{Pointer: "/name", Code: "invalid", Message: "must not contain control characters"}}
	}
	if r, found := printable.Hidden(name); found {
		return []fault.Field{{Pointer: "/name", Code: "invalid", Message: fmt.Sprintf("must not contain the invisible character %U", r)}}
	}
	return nil
}
