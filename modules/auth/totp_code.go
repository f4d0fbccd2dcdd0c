package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

const (
	stepSeconds = 30 // RFC 6238, section 5.2
	// A code of the previous and of the next time step is accepted as well, because the clock of a
	// phone may be wrong and typing takes time (RFC 6238, sections 5.2 and 6).
	drift = 1
	// maxCodeFailures is the number of wrong codes in a row after which no code of the factor is
	// accepted any more (NIST SP 800-63B-4, section 3.2.2: at most 100). LOGIN_RATE_LIMIT alone would
	// let someone who knows the password guess a code in weeks.
	maxCodeFailures = 100
)

// These are the refusals of codes. Their kind is Unauthenticated for a log-in and otherwise Invalid.

func codeRequired(kind fault.Kind) error {
	return codeFault(kind, "totp-required", "The account has a second factor: also send a code of its authenticator app, or a recovery code.")
}

func invalidCode(kind fault.Kind) error {
	return codeFault(kind, "invalid-code", "The code is wrong, or it was used before.")
}

func codesLocked(kind fault.Kind) error {
	return codeFault(kind, "totp-locked", "There were too many wrong codes in a row: send a recovery code, or ask an administrator to reset the second factor.")
}

func codeFault(kind fault.Kind, code, detail string) error {
	f := fault.New(kind, code, "%s", detail)
	if kind == fault.KindInvalid {
		f.Fields = []fault.Field{{Pointer: "/code", Code: code, Message: detail}}
	}
	return f
}

func enrolmentNotStarted() error {
	return fault.New(fault.KindConflict, "totp-not-started", "There is no secret to activate, or it is older than 15 minutes: get one with POST /v1/auth/totp.")
}

// isRefusedCode reports whether err counts as a wrong guess. A missing code does not: the password was
// right, and nothing was guessed.
func isRefusedCode(err error) bool {
	return fault.Is(err, "invalid-code") || fault.Is(err, "totp-locked")
}

// codeGuess is an attempt to prove a code by a caller who is logged in. It is counted with the
// changes of the caller's password, so a stolen token cannot be used to guess codes.
func codeGuess(c identity.Caller, from netip.Addr) guess {
	return guess{"user:" + c.UserID.String(), from, func(context.Context) (uuid.UUID, error) { return c.UserID, nil }, true}
}

// tidyCode removes the separators with which apps and people write codes.
func tidyCode(code string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(code))
}

// isTOTP reports whether a tidied code has the form of an authenticator app's. All others can only be
// recovery codes.
func isTOTP(code string) bool {
	return len(code) == otp.DigitsSix.Length() && strings.Trim(code, "0123456789") == ""
}

// matchStep returns the time step of which the code is, among those that are accepted now and are
// later than the step that was accepted last.
func matchStep(secret []byte, code string, now time.Time, last int64) (step int64, ok bool) {
	current := now.Unix() / stepSeconds
	text := base32NoPadding.EncodeToString(secret)
	for s := current - drift; s <= current+drift; s++ {
		want, err := hotp.GenerateCodeCustom(text, uint64(s), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		same := err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1
		if same && s > last && !ok {
			step, ok = s, true
		}
	}
	return step, ok
}

// factor is a row of totp_factors.
type factor struct {
	id, user uuid.UUID
	sealed   []byte
	keyID    string
	lastStep int64
}

// pendingFactor returns the factor that waits for its first code.
func (m *Module) pendingFactor(ctx context.Context, user uuid.UUID) (factor, error) {
	f := factor{user: user}
	err := m.pool.QueryRow(ctx, `
		select id, secret, key_id, last_step from totp_factors
		where user_id = $1 and activated_at is null and created_at > now() - $2::interval`, user, enrolmentLife).Scan(&f.id, &f.sealed, &f.keyID, &f.lastStep)
	if errors.Is(err, pgx.ErrNoRows) {
		return f, enrolmentNotStarted()
	}
	if err != nil {
		return f, fmt.Errorf("read the second factor of %s: %w", user, err)
	}
	return f, nil
}

// activeFactor returns the factor that protects the account; ok is false if there is none.
func (m *Module) activeFactor(ctx context.Context, user uuid.UUID) (f factor, ok bool, err error) {
	f.user = user
	err = m.pool.QueryRow(ctx, `
		select id, secret, key_id, last_step from totp_factors where user_id = $1 and activated_at is not null`, user).Scan(&f.id, &f.sealed, &f.keyID, &f.lastStep)
	if errors.Is(err, pgx.ErrNoRows) {
		return f, false, nil
	}
	if err != nil {
		return f, false, fmt.Errorf("read the second factor of %s: %w", user, err)
	}
	return f, true, nil
}

// secretOf decrypts the secret of a factor. A key that is not configured is a 503, because only the
// operator can help; the codes of the factor are neither accepted nor counted as wrong.
func (m *Module) secretOf(ctx context.Context, f factor) ([]byte, error) {
	secret, err := m.totp.Keys.openSecret(f.user, f.sealed, f.keyID)
	if errors.Is(err, errUnknownKey) {
		m.log.ErrorContext(ctx, "a second factor cannot be checked", "user", f.user, "key", f.keyID, "error", err)
		return nil, fault.New(fault.KindUnavailable, "totp-key-missing", "Codes of this second factor cannot be checked just now; a recovery code can be used.").
			WithRetryAfter(time.Minute).WithCause(err)
	}
	return secret, err
}

// codeProof is the result of a check of a code. The transaction of what the code allows calls use.
type codeProof struct {
	m    *Module
	kind fault.Kind // of refusals
	user uuid.UUID

	factor   uuid.UUID // zero: the account had no active factor
	step     int64     // of a code of the factor
	recovery []byte    // the hash of a recovery code, instead of step

	sealed []byte // the secret, encrypted with the first key; nil if it was already
	keyID  *string
}

// proveCode checks the code of an account with an active factor. Without an active factor, the code is
// ignored, and the proof requires that there still is none when it is used.
func (m *Module) proveCode(ctx context.Context, user uuid.UUID, code string, kind fault.Kind) (codeProof, error) {
	p := codeProof{m: m, kind: kind, user: user}
	if m.totp.Mode == TOTPOff {
		return p, nil
	}
	f, active, err := m.activeFactor(ctx, user)
	if err != nil || !active {
		return p, err
	}
	p.factor = f.id
	switch code = tidyCode(code); {
	case code == "":
		return p, codeRequired(kind)
	case isTOTP(code):
		return p, p.proveTOTP(ctx, f, code)
	}
	p.recovery = hashOfCode(code)
	var unused bool
	err = m.pool.QueryRow(ctx, `select exists (select from recovery_codes where user_id = $1 and hash = $2 and used_at is null)`, user, p.recovery).Scan(&unused)
	if err != nil {
		return p, fmt.Errorf("look up a recovery code of %s: %w", user, err)
	}
	if !unused {
		return p, invalidCode(kind)
	}
	return p, nil
}

func (p *codeProof) proveTOTP(ctx context.Context, f factor, code string) error {
	secret, err := p.m.secretOf(ctx, f)
	if err != nil {
		return err
	}
	// The failure is counted before the code is compared, so that concurrent guesses on all nodes are
	// counted exactly. A right code resets the count when it is used.
	tag, err := p.m.pool.Exec(ctx, `update totp_factors set failures = failures + 1 where id = $1 and failures < $2`, f.id, maxCodeFailures)
	if err != nil {
		return fmt.Errorf("count a code of %s: %w", f.user, err)
	}
	if tag.RowsAffected() == 0 {
		return codesLocked(p.kind)
	}
	var ok bool
	if p.step, ok = matchStep(secret, code, p.m.totp.now(), f.lastStep); !ok {
		return invalidCode(p.kind)
	}
	if len(p.m.totp.Keys.list) > 0 && f.keyID != p.m.totp.Keys.list[0].id {
		sealed, keyID, err := p.m.totp.Keys.sealSecret(f.user, secret)
		if err != nil {
			return err
		}
		p.sealed, p.keyID = sealed, &keyID
	}
	return nil
}

// use accepts the code in tx, or refuses it if it was used or the factor was changed since it was
// checked. It takes the lock of the account's sessions, so that it is either before or after an
// activation, which ends the sessions that were opened without a code.
func (p *codeProof) use(ctx context.Context, tx pgx.Tx) error {
	if p.m.totp.Mode == TOTPOff {
		return nil
	}
	if err := lockSessions(ctx, tx, p.user); err != nil {
		return err
	}
	switch {
	case p.factor == uuid.Nil:
		active, err := hasActiveFactor(ctx, tx, p.user)
		if err == nil && active {
			return codeRequired(p.kind)
		}
		return err
	case p.recovery != nil:
		return p.useRecoveryCode(ctx, tx)
	}
	tag, err := tx.Exec(ctx, `
		update totp_factors set last_step = $2, failures = 0, secret = coalesce($3, secret), key_id = coalesce($4, key_id)
		where id = $1 and activated_at is not null and last_step < $2`, p.factor, p.step, p.sealed, p.keyID)
	return p.used(tag.RowsAffected(), err)
}

func (p *codeProof) useRecoveryCode(ctx context.Context, tx pgx.Tx) error {
	tag, err := tx.Exec(ctx, `
		with f as (update totp_factors set failures = 0 where id = $1 and activated_at is not null returning user_id)
		update recovery_codes c set used_at = now() from f where c.user_id = f.user_id and c.hash = $2 and c.used_at is null`, p.factor, p.recovery)
	if err := p.used(tag.RowsAffected(), err); err != nil {
		return err
	}
	var left int
	if err := tx.QueryRow(ctx, `select count(*) from recovery_codes where user_id = $1 and used_at is null`, p.user).Scan(&left); err != nil {
		return fmt.Errorf("count the recovery codes of %s: %w", p.user, err)
	}
	return recordFactor(ctx, tx, recoveryCodeUsed, p.user, audit.Now("left", left))
}

func (p *codeProof) used(rows int64, err error) error {
	if err != nil {
		return fmt.Errorf("use a code of %s: %w", p.user, err)
	}
	if rows == 0 {
		return invalidCode(p.kind)
	}
	return nil
}
