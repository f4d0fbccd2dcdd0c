package auth

import (
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// endsAccount ends sessions and keys as the accounts do when one is deactivated.
func (b *bundle) endsAccount() {
	b.t.Helper()
	err := postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		if err := b.sessions.EndAll(b.ctx, tx, b.accounts.id, "account-deactivated"); err != nil {
			return err
		}
		return b.sessions.RevokeKeys(b.ctx, tx, b.accounts.id, "account-deactivated")
	})
	if err != nil {
		b.t.Error(err)
	}
	b.sessions.Committed(b.ctx, b.accounts.id)
}

// SPEC A5: the keys of a deactivated account stay revoked when it is active again.
func TestKeysEndWithTheAccount_A5(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := b.logsIn()
	var secrets []string
	for range 3 {
		secrets = append(secrets, b.do("POST", "/v1/api-keys", mine.access, someKey).member("secret"))
	}

	b.endsAccount()

	for _, secret := range secrets {
		if got := b.who(secret); got.status != 401 {
			t.Errorf("a key: %d", got.status)
		}
	}
	if n := b.count(`select count(*) from audit_entries where action = 'api-key.revoked' and changes::text like '%account-deactivated%'`); n != 3 {
		t.Errorf("%d entries", n)
	}
}

// SPEC A5: of a key that is created while the account is deactivated nothing stays valid.
func TestKeyIsCreatedWhileTheAccountEnds_A5(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 10 {
		mine := b.logsIn()
		var made [4]answered
		var all sync.WaitGroup
		for i := range made {
			all.Go(func() { made[i] = b.do("POST", "/v1/api-keys", mine.access, someKey) })
		}
		all.Go(b.endsAccount)
		all.Wait()

		for _, got := range made {
			if got.status != 201 && got.status != 401 {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
		if n := b.count(`select count(*) from api_keys where revoked_at is null`); n != 0 {
			t.Fatalf("%d keys are valid", n)
		}
	}
}

// SPEC A5: a session that ended after it was checked creates no key.
func TestEndedSessionCreatesNoKey_A5(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.caller(b.logsIn().access)
	b.endsAccount()

	if _, _, err := b.createKey(b.ctx, c, "late", identity.ScopesOf(identity.OrdersRead), nil); err == nil || !strings.Contains(err.Error(), "invalid-token") {
		t.Error(err)
	}
	if n := b.count(`select count(*) from api_keys`); n != 0 {
		t.Errorf("%d keys", n)
	}
}

// SPEC A5 (ASVS 5.0 7.4.3): keys survive a new password unless they are to be revoked with it.
func TestNewPasswordRevokesKeys_A5(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := b.logsIn()
	key := b.do("POST", "/v1/api-keys", mine.access, someKey).member("secret")

	got := b.do("POST", "/v1/auth/password", mine.access, object("currentPassword", goodPassword, "newPassword", "second canary"))
	if who := b.who(key); got.status != 200 || who.status != 200 {
		t.Fatalf("without revokeKeys: %d %s, the key %d", got.status, got.body, who.status)
	}
	got = b.do("POST", "/v1/auth/password", got.member("accessToken"), `{"currentPassword":"second canary","newPassword":"third canary","revokeKeys":true}`)
	if who := b.who(key); got.status != 200 || who.status != 401 {
		t.Errorf("with revokeKeys: %d %s, the key %d", got.status, got.body, who.status)
	}
	if who := b.who(got.member("accessToken")); who.status != 200 {
		t.Errorf("the new session: %d", who.status)
	}
}

// SPEC A5, G1: keys of an account that a node of the previous version deactivated are revoked too.
func TestLeftKeysAreRevoked_A5(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := b.logsIn()
	b.do("POST", "/v1/api-keys", mine.access, someKey)
	live := func() int { return b.count(`select count(*) from api_keys where revoked_at is null`) }
	if err := b.revokeLeft(b.ctx); err != nil || live() != 1 {
		t.Fatalf("an active account: %v, %d keys", err, live())
	}

	b.accounts.set(func(f *fakeAccounts) { f.active = false })

	if err := b.revokeLeft(b.ctx); err != nil || live() != 0 {
		t.Errorf("%v, %d keys", err, live())
	}
}
