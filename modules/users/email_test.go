package users

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// SPEC A1: nobody registers an address or a name that looks like that of another.
func TestRegisterRefusesLookalikes_A1(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, row := range []struct{ email, name, want, says string }{
		{"root@ex\u0430mple.com", "", "", ""}, // a Cyrillic letter, which the ASCII form shows
		{"r\u043eot@example.com", "", "/email invalid", "several scripts"},
		{"\uff41dmin@example.com", "", "/email invalid", "compatibility characters"},
		{"\ufb01ona@example.com", "", "/email invalid", "compatibility characters"},
		{"ad\u034fmin@example.com", "", "/email invalid", "invisible"},
		{"ad\ufe0fmin@example.com", "", "/email invalid", "invisible"},
		{"ada@xn--a.com", "", "/email invalid", "IDNA2008"},
		{"ada@\u0661a.com", "", "/email invalid", "IDNA2008"},
		{"田中たろう@example.jp", "", "", ""},
		{"иван@пример.рф", "", "", ""},
		{"n1@example.com", "Ada\u202ecod.exe", "/name invalid", "U+202E"},
		{"n1@example.com", "Ada\u200b", "/name invalid", "U+200B"},
		{"n1@example.com", "A\u200dda", "/name invalid", "U+200D"},
		{"n1@example.com", "Ada\U000e0041", "/name invalid", "U+E0041"},
		{"n1@example.com", "رضا می\u200cخواهد", "", ""}, // Persian needs the non-joiner
		{"n2@example.com", "Ada 👩\u200d💻 ❤\ufe0f", "", ""},
		{"r\u043eot@example.com", "\u2066", "/email invalid, /name invalid", ""},
	} {
		got := b.do("POST", "/v1/auth/register", "", body("email", row.email, "password", goodPassword, "name", row.name))

		status := 201
		if row.want != "" {
			status = 422
		}
		if got.status != status || got.codes() != row.want || !strings.Contains(got.body, row.says) {
			t.Errorf("%q, %q: %d %s", row.email, row.name, got.status, got.body)
		}
	}
}

// SPEC A1: a domain has one form, which is ASCII, however it is written.
func TestOneFormOfDomains_A1(t *testing.T) {
	t.Parallel()
	b := setup(t)

	got := b.do("POST", "/v1/auth/register", "", body("email", "Ada@b\u00fccher.example", "password", goodPassword))

	if got.member("email") != "Ada@xn--bcher-kva.example" {
		t.Errorf("registered as %s", got.body)
	}
	for _, same := range []string{"ada@XN--BCHER-KVA.example", "ADA@B\u00dcCHER.example", "ada@bu\u0308cher.example", "ada@\uff42\u00fccher.example"} {
		if got := b.do("POST", "/v1/auth/register", "", body("email", same, "password", goodPassword)); got.status != 409 {
			t.Errorf("%q is a second account: %d %s", same, got.status, got.body)
		}
		if id, err := b.Find(b.ctx, same); err != nil || id == uuid.Nil {
			t.Errorf("%q is not found: %v", same, err)
		}
		if b.Fold(same) != b.Fold("ada@b\u00fccher.example") {
			t.Errorf("%q has attempts of its own", same)
		}
	}
}

// SPEC A1, G1: accounts from before keep their addresses and names.
func TestEarlierAddressesStayUsable_A1(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, email := range []string{"eve@b\u00fccher.example", "r\u043eot@example.com", "\uff41dmin@example.com", "x@\u0661a.com"} {
		id := b.store(t, email)

		for _, spelled := range []string{email, strings.ToUpper(email)} {
			if found, err := b.Find(b.ctx, spelled); err != nil || found != id {
				t.Errorf("%q: %s, %v", spelled, found, err)
			}
		}
		if got := b.do("POST", "/v1/auth/register", "", body("email", email, "password", goodPassword)); got.status != 409 && got.status != 422 {
			t.Errorf("%q is a second account: %d %s", email, got.status, got.body)
		}
	}
	if found, err := b.Find(b.ctx, "eve@xn--bcher-kva.example"); err != nil || found == uuid.Nil {
		t.Errorf("the ASCII form is not found: %v", err)
	}
}

// store writes an account as a version without A1 did.
func (b *bundle) store(t *testing.T, email string) uuid.UUID {
	t.Helper()
	id, at := uuid.Must(uuid.NewV7()), postgres.Now()
	err := ent.On(b.pool).User.Create().SetID(id).SetEmail(email).SetEmailKey(fold(email)).SetPasswordHash("-").
		SetCreatedAt(at).SetUpdatedAt(at).Exec(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return id
}
