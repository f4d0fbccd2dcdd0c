package auth

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// guess is one attempt to verify a password.
type guess struct {
	account string // the key under which attempts are counted
	from    netip.Addr
	owner   func(context.Context) (uuid.UUID, error) // the account, or zero if there is none
	change  bool                                     // of a password; otherwise a log-in
}

// limitAttempts runs prove unless there were too many attempts (SPEC A6).
func (m *Module) limitAttempts(ctx context.Context, g guess, prove func() error) error {
	if err := m.accounts.Room(ctx); err != nil {
		return err
	}
	end, err := m.begin(ctx, g.account, g.from, func(ctx context.Context) (bool, error) { return m.knownNetwork(ctx, g) })
	if err != nil {
		if fault.Is(err, "too-many-attempts") {
			_ = m.recordAttempt(ctx, g, err) // it is counted in memory
		}
		return err
	}
	err = prove()
	what := outcomeOf(err)
	refused := end(context.WithoutCancel(ctx), what)
	if what == wrong {
		if err := m.recordAttempt(ctx, g, err); err != nil {
			return err
		}
	}
	if refused != nil {
		return refused
	}
	return err
}

func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return right
	case fault.Is(err, "invalid-credentials"), fault.Is(err, "wrong-password"):
		return wrong
	}
	return undecided
}

// knownNetwork reports whether the account has a session that was opened from the network of
// the attempt. An account that does not exist is looked up as well, so that the response takes
// the same time.
func (m *Module) knownNetwork(ctx context.Context, g guess) (known bool, err error) {
	owner, err := g.owner(ctx)
	if err != nil || !g.from.IsValid() {
		return false, err
	}
	err = m.pool.QueryRow(ctx, `
		select exists (select from sessions
			where user_id = $1 and ended_at is null and expires_at > now() and nullif(address, '')::inet <<= $2)`,
		owner, clientaddr.Network(g.from)).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("look for sessions of %s in a network: %w", owner, err)
	}
	return known, nil
}
