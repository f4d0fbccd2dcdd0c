package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp/totp"

	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// TOTPMode is the policy for the second factor.
type TOTPMode string

// The policies. The zero value is TOTPOptional.
const (
	TOTPOff      TOTPMode = "off"      // no code is asked for, and the routes are 409 "totp-off"
	TOTPOptional TOTPMode = "optional" // every account may set up a second factor
	TOTPRequired TOTPMode = "required" // administrators without one can only set one up
)

// TOTP configures the second factor (SPEC A13).
type TOTP struct {
	Mode TOTPMode
	Keys Keys // encrypt the secrets; without a key no second factor can be set up
}

const (
	enrolmentLife     = 15 * time.Minute // from the secret to the first code
	recoveryCodeCount = 10
	recoveryCodeBytes = 10 // 80 random bits, which need neither a salt nor a slow hash
)

// secondFactor is what Module needs for second factors.
type secondFactor struct {
	TOTP
	issuer string // shown by authenticator apps
	now    func() time.Time
}

func newSecondFactor(d Deps) secondFactor {
	return secondFactor{TOTP: d.TOTP, issuer: strings.ReplaceAll(d.Issuer, ":", " "), now: time.Now}
}

// available returns a 409 where second factors are turned off.
func (s secondFactor) available() error {
	if s.Mode == TOTPOff {
		return fault.New(fault.KindConflict, "totp-off", "Second factors are turned off on this server.")
	}
	return nil
}

func totpNotActive() error {
	return fault.New(fault.KindConflict, "totp-not-active", "The account has no active second factor.")
}

// restrictionOf returns the restriction of a caller for whom a second factor is required and who has
// none. It is computed whenever the state of the caller is read, so it also holds for accounts that
// were promoted before the setting was changed.
func (m *Module) restrictionOf(ctx context.Context, user uuid.UUID, account identity.Account) (identity.Restriction, error) {
	if account.Restriction != identity.Unrestricted || account.Role != identity.Admin || m.totp.Mode != TOTPRequired {
		return account.Restriction, nil
	}
	active, err := hasActiveFactor(ctx, m.pool, user)
	if err != nil || active {
		return identity.Unrestricted, err
	}
	return identity.TOTPRequired, nil
}

func hasActiveFactor(ctx context.Context, q postgres.Querier, user uuid.UUID) (active bool, err error) {
	err = q.QueryRow(ctx, `select exists (select from totp_factors where user_id = $1 and activated_at is not null)`, user).Scan(&active)
	if err != nil {
		return false, fmt.Errorf("look for the second factor of %s: %w", user, err)
	}
	return active, nil
}

// factorState is the state of the caller's second factor.
type factorState struct {
	active        bool
	pending       bool // a secret was given out and waits for its first code
	activatedAt   *time.Time
	recoveryCodes int // that were not used
}

func (m *Module) factorState(ctx context.Context, user uuid.UUID) (s factorState, err error) {
	if err := m.totp.available(); err != nil {
		return s, err
	}
	err = m.pool.QueryRow(ctx, `
		select activated_at, activated_at is not null, activated_at is null and created_at > now() - $2::interval,
			(select count(*) from recovery_codes c where c.user_id = f.user_id and c.used_at is null)
		from totp_factors f where user_id = $1`, user, enrolmentLife).Scan(&s.activatedAt, &s.active, &s.pending, &s.recoveryCodes)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return s, fmt.Errorf("read the second factor of %s: %w", user, err)
	}
	return s, nil
}

// enrolment is a new secret, in the forms that authenticator apps accept.
type enrolment struct{ secret, url string }

// enrol gives the caller a new secret. It protects nothing until activate has seen a code of it, and
// replaces the secret of an enrolment that was not completed.
func (m *Module) enrol(ctx context.Context, c identity.Caller) (e enrolment, err error) {
	if err := m.totp.available(); err != nil {
		return e, err
	}
	if len(m.totp.Keys.list) == 0 {
		return e, fault.New(fault.KindConflict, "totp-not-configured", "No second factor can be set up: this server has no TOTP_KEYS.")
	}
	address, err := m.accounts.Address(ctx, c.UserID)
	if err != nil {
		return e, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: m.totp.issuer, AccountName: address})
	if err != nil {
		return e, fmt.Errorf("generate a secret: %w", err)
	}
	raw, err := base32NoPadding.DecodeString(key.Secret())
	if err != nil {
		return e, fmt.Errorf("generate a secret: %w", err)
	}
	sealed, keyID, err := m.totp.Keys.sealSecret(c.UserID, raw)
	if err != nil {
		return e, err
	}
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if err := lockSessions(ctx, tx, c.UserID); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			insert into totp_factors as f (user_id, id, secret, key_id, created_at) values ($1, gen_random_uuid(), $2, $3, now())
			on conflict (user_id) do update
			set id = excluded.id, secret = excluded.secret, key_id = excluded.key_id, created_at = now(), last_step = 0, failures = 0
			where f.activated_at is null`, c.UserID, sealed, keyID)
		if err != nil {
			return fmt.Errorf("store the secret of %s: %w", c.UserID, err)
		}
		if tag.RowsAffected() == 0 {
			return fault.New(fault.KindConflict, "totp-active", "The account has a second factor; remove it before you set up another one.")
		}
		return recordFactor(ctx, tx, totpEnrolled, c.UserID)
	})
	return enrolment{key.Secret(), key.URL()}, err
}

// activate completes an enrolment with its first code and returns the recovery codes, which are seen
// this one time. All other sessions of the account end: they were opened without the second factor.
func (m *Module) activate(ctx context.Context, c identity.Caller, code string, from netip.Addr) (codes []string, err error) {
	if err := m.totp.available(); err != nil {
		return nil, err
	}
	err = m.countAttempt(ctx, codeGuess(c, from), func() error {
		f, err := m.pendingFactor(ctx, c.UserID)
		if err != nil {
			return err
		}
		secret, err := m.secretOf(ctx, f)
		if err != nil {
			return err
		}
		step, ok := matchStep(secret, tidyCode(code), m.totp.now(), f.lastStep)
		if !ok {
			return invalidCode(fault.KindInvalid)
		}
		return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) (err error) {
			codes, err = m.activateIn(ctx, tx, c, f, step)
			return err
		})
	})
	m.sessions.Committed(ctx, c.UserID) // even on an error, because the commit may have succeeded
	return codes, err
}

func (m *Module) activateIn(ctx context.Context, tx pgx.Tx, c identity.Caller, f factor, step int64) ([]string, error) {
	if err := lockSessions(ctx, tx, c.UserID); err != nil {
		return nil, err
	}
	tag, err := tx.Exec(ctx, `
		update totp_factors set activated_at = now(), last_step = $2, failures = 0 where id = $1 and activated_at is null`, f.id, step)
	if err != nil {
		return nil, fmt.Errorf("activate the second factor of %s: %w", c.UserID, err)
	}
	if tag.RowsAffected() == 0 {
		return nil, enrolmentNotStarted()
	}
	codes, err := replaceCodes(ctx, tx, c.UserID)
	if err != nil {
		return nil, err
	}
	if err := m.sessions.endExcept(ctx, tx, c.UserID, c.SessionID, "totp-activated"); err != nil {
		return nil, err
	}
	return codes, recordFactor(ctx, tx, totpActivated, c.UserID)
}

// removeFactor removes the caller's own factor. A recovery code is enough, for those who lost their
// device.
func (m *Module) removeFactor(ctx context.Context, c identity.Caller, code string, from netip.Addr) error {
	err := m.withCode(ctx, c, code, from, func(tx pgx.Tx) error {
		if _, err := deleteFactor(ctx, tx, c.UserID); err != nil {
			return err
		}
		if err := m.sessions.Announce(ctx, tx, c.UserID); err != nil {
			return err
		}
		return recordFactor(ctx, tx, totpRemoved, c.UserID)
	})
	m.sessions.Committed(ctx, c.UserID)
	return err
}

// newRecoveryCodes replaces all recovery codes of the caller.
func (m *Module) newRecoveryCodes(ctx context.Context, c identity.Caller, code string, from netip.Addr) (codes []string, err error) {
	err = m.withCode(ctx, c, code, from, func(tx pgx.Tx) error {
		if codes, err = replaceCodes(ctx, tx, c.UserID); err != nil {
			return err
		}
		return recordFactor(ctx, tx, recoveryCodesReplaced, c.UserID)
	})
	return codes, err
}

// withCode runs do in the transaction that uses a code of the caller's active factor.
func (m *Module) withCode(ctx context.Context, c identity.Caller, code string, from netip.Addr, do func(tx pgx.Tx) error) error {
	if err := m.totp.available(); err != nil {
		return err
	}
	return m.countAttempt(ctx, codeGuess(c, from), func() error {
		proof, err := m.proveCode(ctx, c.UserID, code, fault.KindInvalid)
		if err != nil {
			return err
		}
		if proof.factor == uuid.Nil {
			return totpNotActive()
		}
		return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
			if err := proof.use(ctx, tx); err != nil {
				return err
			}
			return do(tx)
		})
	})
}

// resetFactor removes the factor of another account, whose owner has lost it, and ends its sessions.
func (m *Module) resetFactor(ctx context.Context, c identity.Caller, user uuid.UUID) error {
	if err := m.totp.available(); err != nil {
		return err
	}
	if user == c.UserID {
		return fault.New(fault.KindConflict, "own-account", "Remove your own second factor with DELETE /v1/auth/totp, which asks for a code.")
	}
	if err := m.accounts.Exists(ctx, user); err != nil {
		return err
	}
	return m.sessions.ResetFactor(ctx, user)
}

// ResetFactor removes the second factor of an account and ends its sessions. It returns a Conflict
// fault "totp-not-active" if the account has none.
func (s *Sessions) ResetFactor(ctx context.Context, user uuid.UUID) error {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockSessions(ctx, tx, user); err != nil {
			return err
		}
		wasActive, err := deleteFactor(ctx, tx, user)
		if err != nil {
			return err
		}
		if !wasActive {
			return totpNotActive()
		}
		if err := recordFactor(ctx, tx, totpReset, user); err != nil {
			return err
		}
		return s.EndAll(ctx, tx, user, "totp-reset")
	})
	s.Committed(ctx, user) // even on an error, because the commit may have succeeded
	return err
}

// DeleteFactor deletes the second factor of an account in the transaction that deletes the account.
func (s *Sessions) DeleteFactor(ctx context.Context, tx pgx.Tx, userID uuid.UUID) error {
	if err := lockSessions(ctx, tx, userID); err != nil {
		return err
	}
	_, err := deleteFactor(ctx, tx, userID)
	return err
}

func deleteFactor(ctx context.Context, tx pgx.Tx, user uuid.UUID) (wasActive bool, err error) {
	if _, err := tx.Exec(ctx, `delete from recovery_codes where user_id = $1`, user); err != nil {
		return false, fmt.Errorf("delete the recovery codes of %s: %w", user, err)
	}
	err = tx.QueryRow(ctx, `delete from totp_factors where user_id = $1 returning activated_at is not null`, user).Scan(&wasActive)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("delete the second factor of %s: %w", user, err)
	}
	return wasActive, nil
}

var base32NoPadding = base32.StdEncoding.WithPadding(base32.NoPadding)

// replaceCodes replaces the recovery codes of an account and returns the new ones.
func replaceCodes(ctx context.Context, tx pgx.Tx, user uuid.UUID) ([]string, error) {
	codes, hashes := make([]string, recoveryCodeCount), make([][]byte, recoveryCodeCount)
	for i := range codes {
		raw := make([]byte, recoveryCodeBytes)
		_, _ = rand.Read(raw) // never fails
		text := strings.ToLower(base32NoPadding.EncodeToString(raw))
		codes[i] = text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
		hashes[i] = hashOfCode(text)
	}
	b := &pgx.Batch{}
	b.Queue(`delete from recovery_codes where user_id = $1`, user)
	b.Queue(`insert into recovery_codes (user_id, hash, created_at) select $1, unnest($2::bytea[]), now()`, user, hashes)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("store the recovery codes of %s: %w", user, err)
	}
	return codes, nil
}

// hashOfCode returns the stored form of a tidied recovery code.
func hashOfCode(code string) []byte {
	sum := sha256.Sum256([]byte(code))
	return sum[:]
}

func recordFactor(ctx context.Context, tx pgx.Tx, what audit.Action, user uuid.UUID, changes ...audit.Change) error {
	return audit.Record(ctx, tx, audit.Entry{Action: what, Subject: user.String(), User: user, Changes: changes})
}

// warnOfFactors logs active factors that do not protect their accounts, or cannot be used, because
// of the settings.
func (m *Module) warnOfFactors(ctx context.Context) error {
	known := make([]string, len(m.totp.Keys.list))
	for i, key := range m.totp.Keys.list {
		known[i] = key.id
	}
	var active, unknown int
	err := m.pool.QueryRow(ctx, `
		select count(*), count(*) filter (where key_id <> all ($1)) from totp_factors where activated_at is not null`, known).Scan(&active, &unknown)
	if err != nil {
		return fmt.Errorf("count the second factors: %w", err)
	}
	if m.totp.Mode == TOTPOff && active > 0 {
		m.log.WarnContext(ctx, "accounts have a second factor, and ADMIN_TOTP=off does not ask for it", slog.Int("accounts", active))
	}
	if m.totp.Mode != TOTPOff && unknown > 0 {
		m.log.ErrorContext(ctx, "second factors were encrypted with keys that TOTP_KEYS lacks; their owners can use recovery codes only", slog.Int("accounts", unknown))
	}
	return nil
}
