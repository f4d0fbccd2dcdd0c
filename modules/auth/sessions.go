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

const (
	refreshLife  = 30 * 24 * time.Hour // each refresh starts it anew, for the session too
	maxUserAgent = 200                 // bytes
)

// client is where a log-in came from, as its owner will see it in the list.
type client struct {
	agent   string
	address netip.Addr
}

// pair is what a client holds of a session.
type pair struct{ access, refresh string }

// login opens a session for whoever knows the password (SPEC A2).
func (m *Module) logIn(ctx context.Context, email, password string, from client) (pair, error) {
	// Counted by a hash: what counts need not know addresses.
	sum := sha256.Sum256([]byte(m.accounts.Fold(email)))
	g := guess{hex.EncodeToString(sum[:]), from.address, func(ctx context.Context) (uuid.UUID, error) { return m.accounts.Find(ctx, email) }}
	var userID uuid.UUID
	var confirm func(context.Context, pgx.Tx) (identity.Role, error)
	err := m.judge(ctx, g, func() (err error) {
		userID, confirm, err = m.accounts.Verify(ctx, email, password)
		return err
	})
	if err != nil {
		return pair{}, err
	}

	var opened session
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		// Between the proof and this moment the password may have been changed and
		// all sessions ended; then this one must not be born.
		role, err := confirm(ctx, tx)
		if err != nil {
			return err
		}
		opened, err = open(ctx, tx, userID, role, from)
		return err
	})
	if err != nil {
		return pair{}, err
	}
	return m.pairOf(opened)
}

// changePassword ends every session of the user and opens one for the caller.
func (m *Module) replacePassword(ctx context.Context, c identity.Caller, current, next string, from client) (pair, error) {
	// A stolen access token must not serve to guess the password.
	g := guess{"user:" + c.UserID.String(), from.address, func(context.Context) (uuid.UUID, error) { return c.UserID, nil }}
	var set func(context.Context, pgx.Tx) error
	err := m.judge(ctx, g, func() (err error) {
		set, err = m.accounts.PreparePassword(ctx, c.UserID, current, next)
		return err
	})
	if err != nil {
		return pair{}, err
	}

	var opened session
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if err := set(ctx, tx); err != nil {
			return err
		}
		if err := m.sessions.EndAll(ctx, tx, c.UserID, "password-changed"); err != nil {
			return err
		}
		var err error
		opened, err = open(ctx, tx, c.UserID, c.Role, from)
		return err
	})
	m.sessions.Committed(ctx, c.UserID) // even on an error: the commit may have gone through
	if err != nil {
		return pair{}, err
	}
	return m.pairOf(opened)
}

// end ends one session of the caller's; 404 when it is not one that lives.
func (m *Module) end(ctx context.Context, c identity.Caller, sessionID uuid.UUID, reason string) error {
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		ended, err := m.sessions.endOne(ctx, tx, c.UserID, sessionID, reason)
		if err == nil && !ended {
			return fault.NotFound("session")
		}
		return err
	})
	m.sessions.changed(c.UserID, sessionID)
	return err
}

// logout ends the caller's own session. Another request may have done so since
// the caller was let in; then there is nothing left to do.
func (m *Module) logOut(ctx context.Context, c identity.Caller) error {
	err := m.end(ctx, c, c.SessionID, "logout")
	if fault.Is(err, "not-found") {
		return nil
	}
	return err
}

// list is a user's live sessions, newest first, from behind the given id on.
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

// session is one that was just opened or refreshed, with its token in clear.
type session struct {
	caller  identity.Caller
	refresh string
}

func open(ctx context.Context, tx pgx.Tx, userID uuid.UUID, role identity.Role, from client) (session, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return session{}, err
	}
	address := ""
	if from.address.IsValid() {
		address = from.address.String()
	}
	_, err = tx.Exec(ctx, `
		insert into sessions (id, user_id, user_agent, address, created_at, last_used_at, expires_at)
		values ($1, $2, $3, $4, now(), now(), now() + $5::interval)`, id, userID, from.agent, address, refreshLife)
	if err != nil {
		return session{}, fmt.Errorf("open a session of %s: %w", userID, err)
	}
	token, err := addRefresh(ctx, tx, id)
	return session{identity.Caller{UserID: userID, SessionID: id, Role: role}, token}, err
}

func addRefresh(ctx context.Context, tx pgx.Tx, sessionID uuid.UUID) (token string, err error) {
	token, hash := newSecret()
	_, err = tx.Exec(ctx, `
		insert into refresh_tokens (hash, session_id, created_at, expires_at)
		values ($1, $2, now(), now() + $3::interval)`, hash, sessionID, refreshLife)
	if err != nil {
		return "", fmt.Errorf("add a refresh token to session %s: %w", sessionID, err)
	}
	return token, nil
}

func (m *Module) pairOf(s session) (pair, error) {
	access, err := m.signer.sign(s.caller)
	return pair{access: access, refresh: s.refresh}, err
}

// newSecret makes an opaque token and the hash that is stored of it. 256 random
// bits need neither salt nor a slow hash.
func newSecret() (token string, hash []byte) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	sum := sha256.Sum256(raw)
	return base64.RawURLEncoding.EncodeToString(raw), sum[:]
}

var errForm = errors.New("not a token of ours")

// hashOf is the stored form of a token that somebody presents.
func hashOf(token string) ([]byte, error) {
	if len(token) != base64.RawURLEncoding.EncodedLen(32) {
		return nil, errForm
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 32 {
		return nil, errForm
	}
	sum := sha256.Sum256(raw)
	return sum[:], nil
}

// tidyAgent keeps of a User-Agent what can be stored and shown: valid UTF-8
// without controls, cut to 200 bytes at a character.
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
