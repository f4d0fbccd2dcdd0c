package users

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/user"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// tokenLives are the purposes of account_tokens, which are named like their messages, and how long a
// token is valid from the moment at which its message is sent.
var tokenLives = map[string]time.Duration{mailVerification: 24 * time.Hour, mailReset: 30 * time.Minute}

const tokenBytes = 32

// newToken returns a token and the hash to store. 256 random bits need neither a salt nor a slow hash.
func newToken() (token string, hash []byte) {
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // never fails
	return base64.RawURLEncoding.EncodeToString(raw), hashToken(raw)
}

func hashToken(raw []byte) []byte {
	sum := sha256.Sum256(raw)
	return sum[:]
}

// hashOf returns the hash of a token that a client sent. It returns false for a text in any other form.
func hashOf(token string) (hash []byte, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != tokenBytes {
		return nil, false
	}
	return hashToken(raw), true
}

// issueToken replaces the token of an account for a purpose.
func issueToken(ctx context.Context, tx pgx.Tx, id uuid.UUID, purpose string, life time.Duration) (token string, err error) {
	token, hash := newToken()
	_, err = tx.Exec(ctx, `
		insert into account_tokens (user_id, purpose, hash, created_at, expires_at) values ($1, $2, $3, now(), now() + $4::interval)
		on conflict (user_id, purpose) do update set hash = excluded.hash, created_at = excluded.created_at, expires_at = excluded.expires_at, used_at = null`,
		id, purpose, hash, life)
	if err != nil {
		return "", fmt.Errorf("issue a token for %s of %s: %w", purpose, id, err)
	}
	return token, nil
}

var errToken = errors.New("the token is unknown, used or expired, or its account is not active")

// ownerOf returns the account of a valid token; errToken if there is none.
func ownerOf(ctx context.Context, q postgres.Querier, hash []byte, purpose string) (*ent.User, error) {
	var id uuid.UUID
	err := q.QueryRow(ctx, `
		select user_id from account_tokens where hash = $1 and purpose = $2 and used_at is null and expires_at > now()`, hash, purpose).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errToken
	}
	if err != nil {
		return nil, fmt.Errorf("look for a token for %s: %w", purpose, err)
	}
	u, err := ent.On(q).User.Query().Where(user.ID(id), user.Active(true), user.DeletedAtIsNil()).Only(ctx)
	if ent.IsNotFound(err) {
		return nil, errToken
	}
	if err != nil {
		return nil, fmt.Errorf("account %s of a token: %w", id, err)
	}
	return u, nil
}

// useToken uses a token of the account once; errToken if a concurrent request was faster. It locks the
// account before the token, as everything does that changes both.
func useToken(ctx context.Context, tx pgx.Tx, id uuid.UUID, hash []byte, purpose string) error {
	var isActive bool
	err := tx.QueryRow(ctx, `select active and deleted_at is null from users where id = $1 for no key update`, id).Scan(&isActive)
	if err != nil {
		return fmt.Errorf("lock account %s: %w", id, err)
	}
	if !isActive {
		return errToken
	}
	tag, err := tx.Exec(ctx, `
		update account_tokens set used_at = now()
		where hash = $1 and user_id = $2 and purpose = $3 and used_at is null and expires_at > now()`, hash, id, purpose)
	if err != nil {
		return fmt.Errorf("use a token of %s: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return errToken
	}
	return nil
}

// invalidToken returns the 422 of a token. It does not tell why the token is not valid.
func invalidToken(pointer, code, detail string) *fault.Error {
	f := fault.New(fault.KindInvalid, code, "%s", detail)
	f.Fields = []fault.Field{{Pointer: pointer, Code: code, Message: detail}}
	return f
}
