package auth

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// guess is an attempt to prove a password.
type guess struct {
	account string // what is counted
	from    netip.Addr
	owner   func(context.Context) (uuid.UUID, error) // whose account it is, zero for nobody's
}

// judge runs prove, unless there were too many attempts before it (SPEC A6).
func (m *Module) judge(ctx context.Context, g guess, prove func() error) error {
	if err := m.accounts.Room(ctx); err != nil {
		return err
	}
	if m.attempts == nil {
		return prove()
	}
	end, err := m.attempts.Begin(ctx, g.account, g.from, func(ctx context.Context) (bool, error) { return m.home(ctx, g) })
	if err != nil {
		return err
	}
	err = prove()
	if refused := end(context.WithoutCancel(ctx), outcomeOf(err)); refused != nil {
		return refused
	}
	return err
}

func outcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return Right
	case fault.Is(err, "invalid-credentials"), fault.Is(err, "wrong-password"):
		return Wrong
	}
	return Unjudged
}

// home tells whether the owner has a session that was opened where the guess comes
// from. Nobody's account is looked for as well, for the same time.
func (m *Module) home(ctx context.Context, g guess) (there bool, err error) {
	owner, err := g.owner(ctx)
	if err != nil || !g.from.IsValid() {
		return false, err
	}
	err = m.pool.QueryRow(ctx, `
		select exists (select from sessions
			where user_id = $1 and ended_at is null and expires_at > now() and nullif(address, '')::inet <<= $2)`,
		owner, clientaddr.Network(g.from)).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look where %s is logged in: %w", owner, err)
	}
	return there, nil
}
