package users

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/bcrypt"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// SPEC A2: all refusals are the same.
func TestVerify(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("an otter ", 8)
	for email, password := range map[string]string{
		"ada@example.com": goodPassword, "long@example.com": long, "nul@example.com": "otters!!", "bytes@example.com": "\x00 otter \x00 é",
	} {
		d, err := b.prepare(b.ctx, email, password, "", identity.User)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.insert(b.ctx, b.pool); err != nil {
			t.Fatal(err)
		}
	}
	off := b.account("off@example.com", identity.User)
	gone := b.account("gone@example.com", identity.User)
	no := false
	if _, err := b.alter(b.ctx, off.ID, change{active: &no}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.alter(b.ctx, gone.ID, change{gone: true}); err != nil {
		t.Fatal(err)
	}

	for _, row := range []struct {
		email, password string
		good            bool
	}{
		{"ada@example.com", goodPassword, true},
		{"ADA@Example.com", goodPassword, true},
		{"long@example.com", long, true},
		{"bytes@example.com", "\x00 otter \x00 é", true},
		{"bytes@example.com", "\x00 otter \x00 e\u0301", true}, // SPEC A1: one password in two spellings
		{"bytes@example.com", "\x00\u00a0otter\u3000\x00 é", true},
		{"bytes@example.com", "\x00 otter \x00 e", false},
		{"ada@example.com", strings.ToUpper(goodPassword), false},
		{"ada@example.com", goodPassword + " ", false},
		{"ada@example.com", "", false},
		{"long@example.com", long + "x", false}, // bcrypt alone would cut it
		{"nul@example.com", "otters!!\x00otters!!", false},
		{"nul@example.com", "otters!!\x00", false},
		{"off@example.com", goodPassword, false},
		{"gone@example.com", goodPassword, false},
		{"nobody@example.com", goodPassword, false},
		{"not an address", goodPassword, false},
		{"a\x00b@example.com", goodPassword, false},
		{"ada@example.com", strings.Repeat("x", 10_000), false},
	} {
		id, confirm, err := b.Verify(b.ctx, row.email, row.password)
		if row.good {
			if err != nil || id == uuid.Nil || confirm == nil {
				t.Errorf("%q %q: %v", row.email, row.password, err)
			}
			continue
		}
		f, ok := fault.As(err)
		if !ok || f.Kind != fault.KindUnauthenticated || f.Error() != refused().Error() {
			t.Errorf("%q %q: %v", row.email, row.password, err)
		}
	}
}

// SPEC A2, the same time: an unknown address costs the same hashing.
func TestDecoyCostsTheSame(t *testing.T) {
	t.Parallel()
	for cost := bcrypt.MinCost; cost <= 6; cost++ {
		h := newHasher(cost, nil, nil)
		if got, err := bcrypt.Cost([]byte(h.dummyHash)); err != nil || got != cost {
			t.Fatalf("cost %d: %d, %v", cost, got, err)
		}
		if same, err := h.matches(t.Context(), h.dummyHash, goodPassword); same || err != nil {
			t.Errorf("cost %d: %v, %v", cost, same, err)
		}
	}
	if h := newHasher(0, nil, nil); h.cost != defaultCost {
		t.Errorf("no cost is %d", h.cost)
	}
}

// SPEC A2: an account hashed at the cost of before would answer in another time.
func TestRehash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.account("ada@example.com", identity.User)
	b.hashes = newHasher(5, nil, nil)

	_, confirm, err := b.Verify(b.ctx, u.Email, goodPassword)
	if err != nil {
		t.Fatal(err)
	}

	now, err := b.live(b.ctx, u.ID)
	if err != nil || b.hashes.stale(now.PasswordHash) {
		t.Errorf("still the hash of before: %v", err)
	}
	if err := b.confirm(confirm); err != nil {
		t.Errorf("a new hash is no new password: %v", err)
	}
	if _, _, err := b.Verify(b.ctx, u.Email, goodPassword); err != nil {
		t.Error(err)
	}
}

func (b *bundle) confirm(confirm func(context.Context, pgx.Tx) (identity.Role, error)) error {
	return postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		role, err := confirm(b.ctx, tx)
		if err == nil && role != identity.User {
			return errors.New("role " + string(role))
		}
		return err
	})
}

// A proof is worth nothing once the password or the activity has changed.
func TestConfirm(t *testing.T) {
	t.Parallel()
	no := false
	for name, change := range map[string]func(b *bundle, id uuid.UUID) error{
		"password": func(b *bundle, id uuid.UUID) error { return b.change(id, goodPassword, "another canary") },
		"inactive": func(b *bundle, id uuid.UUID) error { _, err := b.alter(b.ctx, id, change{active: &no}); return err },
		"deleted":  func(b *bundle, id uuid.UUID) error { _, err := b.alter(b.ctx, id, change{gone: true}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			u := b.account("ada@example.com", identity.User)
			_, confirm, err := b.Verify(b.ctx, u.Email, goodPassword)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.confirm(confirm); err != nil {
				t.Fatal(err)
			}

			if err := change(b, u.ID); err != nil {
				t.Fatal(err)
			}

			if err := b.confirm(confirm); !fault.Is(err, "invalid-credentials") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Who changes a password waits for the log-ins that are being written, so that
// ending all sessions afterwards finds them.
func TestConfirmHoldsTheAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.account("ada@example.com", identity.User)
	_, confirm, err := b.Verify(b.ctx, u.Email, goodPassword)
	if err != nil {
		t.Fatal(err)
	}

	err = postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		if _, err := confirm(b.ctx, tx); err != nil {
			return err
		}
		_, err := b.pool.Exec(b.ctx, "select 1 from users where id = $1 for update nowait", u.ID)
		if postgres.Code(err) != "55P03" {
			t.Errorf("not held: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) change(id uuid.UUID, current, next string) error {
	set, err := b.PreparePassword(b.ctx, id, current, next)
	if err != nil {
		return err
	}
	return postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error { return set(b.ctx, tx) })
}

// SPEC A5.
func TestPasswordChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.account("ada@example.com", identity.User)

	if err := b.change(u.ID, "wrong canary", "another canary"); !fault.Is(err, "wrong-password") {
		t.Errorf("wrong current: %v", err)
	}
	if err := b.change(u.ID, goodPassword, "password"); !fault.Is(err, "invalid") {
		t.Errorf("common next: %v", err)
	}
	if err := b.change(u.ID, goodPassword, "another canary"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Verify(b.ctx, u.Email, goodPassword); err == nil {
		t.Error("the old one still works")
	}
	if _, _, err := b.Verify(b.ctx, u.Email, "another canary"); err != nil {
		t.Error(err)
	}
}

// Of two changes that both proved the same password, one is too late.
func TestPasswordChangeRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.account("ada@example.com", identity.User)
	first, err := b.PreparePassword(b.ctx, u.ID, goodPassword, "first canary")
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.PreparePassword(b.ctx, u.ID, goodPassword, "second canary")
	if err != nil {
		t.Fatal(err)
	}

	if err := postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error { return first(b.ctx, tx) }); err != nil {
		t.Fatal(err)
	}
	err = postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error { return second(b.ctx, tx) })
	if f, ok := fault.As(err); !ok || f.Code != "wrong-password" || f.Fields[0].Pointer != "/currentPassword" {
		t.Errorf("got %v", err)
	}
}

// SPEC A2: requests beyond the limit get a Retry-After.
func TestBusy(t *testing.T) {
	t.Parallel()
	h := newHasher(4, nil, nil)
	h.capacity = newCapacity(1)
	h.wait = time.Millisecond
	leave, err := h.enter(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}

	_, err = h.make(t.Context(), known, goodPassword)
	f, ok := fault.As(err)
	if !ok || f.Kind != fault.KindUnavailable || f.Code != "busy" || f.RetryAfter <= 0 {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.wait = time.Hour
	if _, err := h.matches(ctx, h.dummyHash, goodPassword); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := h.hasCapacity(t.Context(), no); err != nil {
		t.Errorf("there is room to wait: %v", err)
	}

	leave()
	if _, err := h.make(t.Context(), known, goodPassword); err != nil {
		t.Errorf("with a place free: %v", err)
	}
	if held, waiting := h.capacity.Usage(); held+waiting != 0 {
		t.Error("a place was not given back")
	}
}

// SPEC A2, F10: a core is left to those who do not log in.
func TestGateLeavesACore(t *testing.T) {
	t.Parallel()
	for cores, want := range map[int]int{1: 1, 2: 1, 4: 3} {
		if got := width(cores); got != want {
			t.Errorf("%d cores hash %d at once, want %d", cores, got, want)
		}
	}
	h, places := newHasher(4, nil, nil), 0
	for range 64 {
		if _, err := h.capacity.TryAcquire(known, netip.Prefix{}); err == nil {
			places++
		}
	}
	if places != width(runtime.GOMAXPROCS(0)) {
		t.Errorf("the gate has %d places", places)
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.account("root@example.com", identity.Admin)

	if account, err := b.Account(b.ctx, u.ID); account != (identity.Account{Role: identity.Admin, Active: true}) || err != nil {
		t.Error(account, err)
	}
	if account, err := b.Account(b.ctx, uuid.New()); account.Active || err != nil {
		t.Error(account, err)
	}
}

// No password or hash leaves through any way of printing (SPEC A1).
func TestNothingPrintsAHash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.account("ada@example.com", identity.User)
	raw, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	noSecrets(t, "ent's JSON", string(raw))
	if strings.Contains(u.String(), u.PasswordHash) {
		t.Errorf("ent's text holds the hash: %s", u)
	}
}
