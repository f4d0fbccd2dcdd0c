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
	change  bool                                     // or confirmation of a password; otherwise a log-in
}

// limitAttempts runs prove, which hashes a password with the context that it gets, unless there were
// too many attempts (SPEC A6). Callers who are logged in, and log-ins from a network in which the
// account is logged in, come before those of other networks (SPEC A2).
func (m *Module) limitAttempts(ctx context.Context, g guess, prove func(context.Context) error) error {
	ctx, err := m.accounts.Room(ctx, func(ctx context.Context) (bool, error) {
		if g.change {
			return true, nil
		}
		return m.knownNetwork(ctx, g)
	})
	if err != nil {
		return err
	}
	return m.countAttempt(ctx, g, func() error { return prove(ctx) })
}

// countAttempt is limitAttempts for a proof that hashes nothing, and needs no capacity for it.
func (m *Module) countAttempt(ctx context.Context, g guess, prove func() error) error {
	end, err := m.begin(ctx, g.account, g.from, func(ctx context.Context) (bool, error) { return m.knownNetwork(ctx, g) })
	if err != nil {
		if fault.Is(err, "too-many-attempts") {
			_ = m.recordAttempt(ctx, g, err) // it is counted in memory
			m.metrics.attempt(g, "limited")
		}
		return err
	}
	err = prove()
	what := outcomeOf(err)
	m.metrics.attempt(g, map[outcome]string{right: "accepted", wrong: "rejected", undecided: "failed"}[what])
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
	case err == nil, fault.Is(err, "totp-required"):
		return right
	case fault.Is(err, "invalid-credentials"), fault.Is(err, "wrong-password"), isRefusedCode(err):
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
