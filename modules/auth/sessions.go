package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	rows "github.com/orderflow-dev/orderflow/ent/session"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const maxUserAgent = 200 // bytes

// client is the origin of a login, as shown in the list of sessions.
type client struct {
	agent   string
	address netip.Addr
}

// pair has the tokens of a session.
type pair struct{ access, refresh string }

// login verifies the password, and the code of the second factor if there is one, and opens a session
// (SPEC A2, A13). The session is opened within the attempt, so that a code that was used meanwhile
// counts as wrong.
func (m *Module) logIn(ctx context.Context, email, password, code string, from client) (pair, error) {
	// Attempts are counted by a hash, so that the counters contain no e-mail addresses.
	sum := sha256.Sum256([]byte(m.accounts.Fold(email)))
	g := guess{hex.EncodeToString(sum[:]), from.address, func(ctx context.Context) (uuid.UUID, error) { return m.accounts.Find(ctx, email) }, false}
	var userID uuid.UUID
	var opened session
	err := m.limitAttempts(ctx, g, func(ctx context.Context) (err error) {
		var confirm func(context.Context, pgx.Tx) (identity.Role, error)
		if userID, confirm, err = m.accounts.Verify(ctx, email, password); err != nil {
			return err
		}
		proof, err := m.proveCode(ctx, userID, code, fault.KindUnauthenticated)
		if err != nil {
			return err
		}
		return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
			// The password may have been changed and all sessions ended since it was verified; then
			// no session may be opened.
			role, err := confirm(ctx, tx)
			if err != nil {
				return err
			}
			if err := proof.use(ctx, tx); err != nil {
				return err
			}
			if err := m.notices.Notify(ctx, tx, userID, NoticeNewLogin, from.facts()); err != nil {
				return err
			}
			opened, err = m.sessions.open(ctx, tx, userID, role, from)
			return err
		})
	})
	if err != nil {
		return pair{}, err
	}
	for _, id := range opened.ended {
		m.sessions.changed(userID, id)
	}
	return m.pairOf(opened)
}

// passwordChange is a request to replace a password.
type passwordChange struct {
	current, next string
	code          string // of the second factor, if there is one
	revokeKeys    bool   // whether to revoke the API keys as well
}

// replacePassword ends every session of the user, and every API key if revokeKeys is set, and opens
// a session for the caller.
func (m *Module) replacePassword(ctx context.Context, c identity.Caller, change passwordChange, from client) (pair, error) {
	// A stolen access token must not allow guessing the password.
	g := guess{"user:" + c.UserID.String(), from.address, func(context.Context) (uuid.UUID, error) { return c.UserID, nil }, true}
	var opened session
	err := m.limitAttempts(ctx, g, func(ctx context.Context) error {
		set, err := m.accounts.PreparePassword(ctx, c.UserID, change.current, change.next)
		if err != nil {
			return err
		}
		// The new session would otherwise have been opened without the second factor.
		proof, err := m.proveCode(ctx, c.UserID, change.code, fault.KindInvalid)
		if err != nil {
			return err
		}
		return postgres.InTx(ctx, m.pool, func(tx pgx.Tx) (err error) {
			if err := set(ctx, tx); err != nil {
				return err
			}
			if err := proof.use(ctx, tx); err != nil {
				return err
			}
			if err := m.sessions.EndAll(ctx, tx, c.UserID, "password-changed"); err != nil {
				return err
			}
			if change.revokeKeys {
				if err := m.sessions.RevokeKeys(ctx, tx, c.UserID, "password-changed"); err != nil {
					return err
				}
			}
			if err := m.notices.Notify(ctx, tx, c.UserID, NoticePasswordChanged, from.facts()); err != nil {
				return err
			}
			opened, err = m.sessions.open(ctx, tx, c.UserID, c.Role, from)
			return err
		})
	})
	m.sessions.Committed(ctx, c.UserID) // even on an error: the commit may have gone through
	if err != nil {
		return pair{}, err
	}
	return m.pairOf(opened)
}

// end ends one session of an account; 404 if it does not exist or has ended.
func (m *Module) end(ctx context.Context, userID, sessionID uuid.UUID, reason string) error {
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		ended, err := m.sessions.endOne(ctx, tx, userID, sessionID, reason)
		if err == nil && !ended {
			return fault.NotFound("session")
		}
		return err
	})
	m.sessions.changed(userID, sessionID)
	return err
}

// endAll ends the sessions of an account except for one, or none if keep is zero.
func (m *Module) endAll(ctx context.Context, userID, keep uuid.UUID, reason string) error {
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		return m.sessions.endExcept(ctx, tx, userID, keep, reason)
	})
	m.sessions.changed(userID, uuid.Nil) // even on an error: the commit may have gone through
	return err
}

// logout ends the session of the request. It succeeds if a concurrent request has already ended
// it.
func (m *Module) logOut(ctx context.Context, c identity.Caller) error {
	err := m.end(ctx, c.UserID, c.SessionID, "logout")
	if fault.Is(err, "not-found") {
		return nil
	}
	return err
}

// list returns a user's live sessions, newest first, after the given id.
func (m *Module) list(ctx context.Context, userID, before uuid.UUID, limit int) ([]*ent.Session, error) {
	q := ent.On(m.pool).Session.Query().
		Where(rows.UserID(userID), rows.EndedAtIsNil(), rows.ExpiresAtGT(time.Now()))
	if before != uuid.Nil {
		q.Where(rows.IDLT(before))
	}
	found, err := q.Order(ent.Desc(rows.FieldID)).Limit(limit).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the sessions of %s: %w", userID, err)
	}
	return found, nil
}

// session is a session that was just opened or refreshed, with its plain token.
type session struct {
	caller  identity.Caller
	refresh string
	ended   []uuid.UUID // sessions that ended because the account had too many
}

// open opens a session. When the account has the maximum number of sessions, those that were
// unused for longest end.
func (s *Sessions) open(ctx context.Context, tx pgx.Tx, userID uuid.UUID, role identity.Role, from client) (session, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return session{}, err
	}
	if err := lockSessions(ctx, tx, userID); err != nil {
		return session{}, err
	}
	ended, err := s.makeRoom(ctx, tx, userID)
	if err != nil {
		return session{}, err
	}
	address := ""
	if from.address.IsValid() {
		address = from.address.String()
	}
	tag, key := newFamily()
	token := firstRefresh(tag)
	b := &pgx.Batch{}
	b.Queue(`
		insert into sessions (id, user_id, user_agent, address, created_at, last_used_at, expires_at, refresh_tag, refresh_key)
		values ($1, $2, $3, $4, now(), now(), now() + least($5::interval, $6::interval), $7, $8)`,
		id, userID, from.agent, address, refreshLife, s.maxAge, tag, key)
	b.Queue(`
		insert into refresh_tokens (hash, session_id, created_at, expires_at, derived)
		select $1, id, now(), expires_at, true from sessions where id = $2`, token.hash(), id)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return session{}, fmt.Errorf("open a session of %s: %w", userID, err)
	}
	if err := recordSession(ctx, tx, sessionCreated, userID, id); err != nil {
		return session{}, err
	}
	return session{identity.Caller{UserID: userID, SessionID: id, Role: role}, token.text(), ended}, nil
}

// lockSessions serialises the transactions that end several sessions of an account or open one,
// so that they cannot exceed the limit and cannot deadlock.
func lockSessions(ctx context.Context, tx pgx.Tx, userID uuid.UUID) error {
	return postgres.Lock(ctx, tx, "sessions of "+userID.String())
}

// makeRoom ends the sessions that exceed the limit of an account once another one is opened.
func (s *Sessions) makeRoom(ctx context.Context, tx pgx.Tx, userID uuid.UUID) (ended []uuid.UUID, err error) {
	found, err := tx.Query(ctx, `
		select id from sessions where user_id = $1 and ended_at is null and expires_at > now()
		order by last_used_at desc, id desc offset $2`, userID, s.perAccount-1)
	if err != nil {
		return nil, fmt.Errorf("count the sessions of %s: %w", userID, err)
	}
	ended, err = pgx.CollectRows(found, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("count the sessions of %s: %w", userID, err)
	}
	for _, id := range ended {
		if _, err := s.endOne(ctx, tx, userID, id, "too-many-sessions"); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

func (m *Module) pairOf(s session) (pair, error) {
	access, err := m.signer.sign(s.caller)
	return pair{access: access, refresh: s.refresh}, err
}

// newSecret returns an opaque token and the hash to store. 256 random bits need neither a salt
// nor a slow hash.
func newSecret() (token string, hash []byte) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	sum := sha256.Sum256(raw)
	return base64.RawURLEncoding.EncodeToString(raw), sum[:]
}

var errForm = errors.New("not a token of ours")

// hashOf returns the stored form of a token. Tickets have the form of refresh tokens.
func hashOf(token string) ([]byte, error) {
	t, err := parseRefresh(token)
	return t.hash(), err
}

// tidyAgent returns a User-Agent that can be stored and shown: valid UTF-8 without control
// characters, at most 200 bytes.
func tidyAgent(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxUserAgent {
		s = strings.ToValidUTF8(s[:maxUserAgent], "")
	}
	return s
}
