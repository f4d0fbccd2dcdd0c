package users

import (
	"fmt"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// hashed is what bcrypt was asked for: "compare 4" or "generate 4".
type hashed struct {
	mu    sync.Mutex
	calls []string
}

// counts makes a hasher tell what it does.
func counts(h *hasher) *hashed {
	seen := &hashed{}
	note := func(what string, cost int) {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		seen.calls = append(seen.calls, fmt.Sprint(what, " ", cost))
	}
	h.compare = func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			return err
		}
		note("compare", cost)
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	h.generate = func(password []byte, cost int) ([]byte, error) {
		note("generate", cost)
		return bcrypt.GenerateFromPassword(password, cost)
	}
	return seen
}

func (h *hashed) taken() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls := fmt.Sprint(h.calls)
	h.calls = nil
	return calls
}

// strangers are log-ins that are refused, by the reason.
func strangers(b *bundle) map[string][2]string {
	b.t.Helper()
	no := false
	b.account("ada@example.com", identity.User)
	off, gone := b.account("off@example.com", identity.User), b.account("gone@example.com", identity.User)
	if _, err := b.alter(b.ctx, off.ID, change{active: &no}); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.alter(b.ctx, gone.ID, change{gone: true}); err != nil {
		b.t.Fatal(err)
	}
	return map[string][2]string{
		"unknown":               {"nobody@example.com", goodPassword},
		"wrong password":        {"ada@example.com", "a wrong canary"},
		"deactivated":           {"off@example.com", goodPassword},
		"deactivated and wrong": {"off@example.com", "a wrong canary"},
		"deleted":               {"gone@example.com", goodPassword},
	}
}

// SPEC A2; ASVS 5.0 V6.3.8: every refusal is one comparison at one cost.
func TestRefusalsAreEqualWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows := strangers(b)
	seen := counts(b.hashes)
	for name, row := range rows {
		if _, _, err := b.Verify(b.ctx, row[0], row[1]); !fault.Is(err, "invalid-credentials") {
			t.Errorf("%s: %v", name, err)
		}
		if got := seen.taken(); got != "[compare 4]" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if _, _, err := b.Verify(b.ctx, "ada@example.com", goodPassword); err != nil || seen.taken() != "[compare 4]" {
		t.Errorf("right: %v", err)
	}
	holder, _, err := b.byEmail(b.ctx, "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.change(holder.ID, "a wrong canary", "another canary"); !fault.Is(err, "wrong-password") || seen.taken() != "[compare 4]" {
		t.Errorf("a change with the wrong one: %v", err)
	}
	// Responses that reveal no secret are sent without hashing: a taken address (A1), a bad password.
	for _, body := range []string{
		`{"email":"ADA@example.com","password":"a new canary"}`, `{"email":"new@example.com","password":"canary"}`,
	} {
		if got := b.do("POST", "/v1/auth/register", "", body); got.status == 201 || seen.taken() != "[]" {
			t.Errorf("%s: %d", body, got.status)
		}
	}
}

// SPEC A2: an account that was hashed at a lower cost takes as long to be refused.
func TestRefusalsAreEqualWorkAfterTheCostWasRaised(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows := strangers(b)
	b.hashes = newHasher(6, nil, nil)
	seen := counts(b.hashes)
	for name, row := range rows {
		want := "[compare 4 compare 4 compare 5]" // 16 + 16 + 32 = 64 rounds
		if name == "unknown" || name == "deleted" {
			want = "[compare 6]"
		}
		if _, _, err := b.Verify(b.ctx, row[0], row[1]); !fault.Is(err, "invalid-credentials") {
			t.Errorf("%s: %v", name, err)
		}
		if got := seen.taken(); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// SPEC A2: nor do refusals differ in what the database is asked.
func TestRefusalsAskTheSame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := map[int64][]string{}
	for name, row := range strangers(b) {
		before := b.pool.Stat().AcquireCount()
		if _, _, err := b.Verify(b.ctx, row[0], row[1]); !fault.Is(err, "invalid-credentials") {
			t.Errorf("%s: %v", name, err)
		}
		n := b.pool.Stat().AcquireCount() - before
		asked[n] = append(asked[n], name)
	}
	if len(asked) != 1 {
		t.Errorf("by the number of statements they can be told apart: %v", asked)
	}
}

// BenchmarkRefusals is for comparing their times, which depend on the machine: the tests above
// count the work.
func BenchmarkRefusals(b *testing.B) {
	h := setup(b)
	for name, row := range strangers(h) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _, _ = h.Verify(h.ctx, row[0], row[1])
			}
		})
	}
}
