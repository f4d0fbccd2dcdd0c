package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

const ticketLife = 30 * time.Second

func invalidTicket() *fault.Error {
	return refusal("invalid-ticket", "The ticket is not valid, or was used; ask for another one.")
}

// IssueTicket creates a ticket that authenticates the caller once within 30 s. It is for URLs,
// where a header is impossible and a token would leak (SPEC E2).
func (m *Module) IssueTicket(ctx context.Context, c identity.Caller) (ticket string, expires time.Time, err error) {
	ticket, hash := newSecret()
	err = m.pool.QueryRow(ctx, `
		insert into tickets (hash, user_id, session_id, expires_at)
		values ($1, $2, $3, now() + $4::interval) returning expires_at`,
		hash, c.UserID, c.Credential(), ticketLife).Scan(&expires)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("issue a ticket: %w", err)
	}
	return ticket, expires, nil
}

// RedeemTicket redeems a ticket and returns its caller with the current role. Unknown, used and
// expired tickets, and tickets of ended sessions and keys, return the same 401
// "invalid-ticket".
func (m *Module) RedeemTicket(ctx context.Context, ticket string) (identity.Caller, error) {
	hash, err := hashOf(ticket)
	if err != nil {
		return identity.Caller{}, invalidTicket()
	}
	from := clientaddr.From(ctx)
	if err := m.failedLookups.refuse(from, time.Now()); err != nil {
		return identity.Caller{}, err
	}
	var credential uuid.UUID
	var inTime bool
	err = m.pool.QueryRow(ctx, `
		delete from tickets where hash = $1 returning session_id, expires_at > now()`, hash).Scan(&credential, &inTime)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !inTime {
		m.failedLookups.add(from, time.Now())
		return identity.Caller{}, invalidTicket()
	}
	if err != nil {
		return identity.Caller{}, fmt.Errorf("redeem a ticket: %w", err)
	}

	caller, err := m.CurrentCaller(ctx, credential)
	if fault.Is(err, "invalid-token") {
		return identity.Caller{}, invalidTicket()
	}
	return caller, err
}
