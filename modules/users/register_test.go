package users

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func body(pairs ...string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	raw, _ := json.Marshal(m)
	return string(raw)
}

// SPEC A1.
func TestRegister(t *testing.T) {
	t.Parallel()
	b := setup(t)

	got := b.do("POST", "/v1/auth/register", "", body("email", "Ada@Example.com", "password", goodPassword, "name", "Ada ✨"))

	if got.status != 201 || got.header.Get("Location") != "/v1/users/me" {
		t.Fatalf("got %d %v %s", got.status, got.header, got.body)
	}
	var u map[string]any
	if err := json.Unmarshal([]byte(got.body), &u); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": u["id"], "email": "Ada@Example.com", "name": "Ada ✨", "role": "user", "active": true, "emailVerified": true,
		"createdAt": u["createdAt"], "updatedAt": u["createdAt"],
	}
	if fmt.Sprint(u) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", u, want)
	}
	me := b.do("GET", "/v1/users/me", "user:"+u["id"].(string), "")
	if me.status != 200 || me.body != got.body {
		t.Errorf("me is %d %s", me.status, me.body)
	}
}

// SPEC A1, A7, R5: what may not register, and that every fault is named at once.
func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.account("taken@example.com", identity.User)
	long := func(n int) string {
		e := strings.Repeat("x", 64) + "@" + strings.Repeat(strings.Repeat("y", 62)+".", 2)
		return e + strings.Repeat("z", n-len(e)-len(".com")) + ".com"
	}
	rows := []struct {
		name, body string
		status     int
		codes      string
	}{
		{"taken", body("email", "taken@example.com", "password", goodPassword), 409, ""},
		{"taken in capitals", body("email", "TAKEN@EXAMPLE.COM", "password", goodPassword), 409, ""},
		{"254 bytes", body("email", long(254), "password", goodPassword), 201, ""},
		{"255 bytes", body("email", long(255), "password", goodPassword), 422, "/email invalid"},
		{"everything", body("email", "no", "password", "short", "name", "a\nb"), 422, "/email invalid, /password too-short, /name invalid"},
		{"unknown field", `{"email":"a@example.com","password":"otter in a pot","role":"admin"}`, 422, "/role unknown-field"},
		{"nothing", `{}`, 422, "/email required, /password required"},
		{"null name", `{"email":"n@example.com","password":"otter in a pot","name":null}`, 422, "/name type"},
		{"NUL in e-mail", `{"email":"a\u0000@example.com","password":"otter in a pot"}`, 422, "/email nul"},
		{"NUL in name", `{"email":"n@example.com","password":"otter in a pot","name":"\u0000"}`, 422, "/name nul"},
		{"name of 200", body("email", "n1@example.com", "password", goodPassword, "name", strings.Repeat("é", 200)), 201, ""},
		{"name of 201", body("email", "n2@example.com", "password", goodPassword, "name", strings.Repeat("é", 201)), 422, "/name too-long"},
		{"not JSON", `{`, 400, ""},
		{"NUL in password", `{"email":"nul@example.com","password":"\u0000\u0000otter\u0000"}`, 201, ""},
	}
	for _, row := range rows {
		got := b.do("POST", "/v1/auth/register", "", row.body)
		if got.status != row.status || row.codes != "" && !strings.HasPrefix(got.codes(), row.codes) {
			t.Errorf("%s: got %d %s, want %d %s (%s)", row.name, got.status, got.codes(), row.status, row.codes, got.body)
		}
		if row.status == 409 && got.member("code") != "email-taken" {
			t.Errorf("%s: %s", row.name, got.body)
		}
	}
}

// SPEC A1: 8 to 72 bytes, any characters, nothing common.
func TestPasswordRules(t *testing.T) {
	t.Parallel()
	rows := []struct{ password, code string }{
		{"aq7%hhz", "too-short"},
		{"aq7%hhzz", ""},
		{"🦦🐙", ""}, // 8 bytes
		{"🦦🦦", "too-common"},
		{strings.Repeat("🦦", 18), ""},
		{strings.Repeat("🦦", 18) + "x", "too-long"},
		{strings.Repeat("ab", 36), ""},
		{strings.Repeat("ab", 36) + "c", "too-long"},
		{"\x00otter\x00\x00\x00", ""},
		{"        ", "too-common"},
		{"password", "too-common"},
		{"PassWord1", "too-common"},
		{"QWERTYUIOP", "too-common"},
		{"Ada.Lovelace@Example.com", "too-common"},
		{"ADA.LOVELACE", "too-common"},
		{"otters!!\x00otters!!", "too-common"}, // bcrypt takes it for "otters!!"
		{"\x00\x00\x00\x00\x00\x00\x00\x00", "too-common"},
	}
	for _, row := range rows {
		got := ""
		if wrong := validatePassword("/password", row.password, "ada.lovelace@example.com"); wrong != nil {
			got = wrong[0].Code
		}
		if got != row.code {
			t.Errorf("%q: got %q, want %q", row.password, got, row.code)
		}
	}
}

// SPEC A1: unique ignoring case, however it is spelled.
func TestAddresses(t *testing.T) {
	t.Parallel()
	good := []string{
		"a@b.co", "ada+orders@example.com", "o'neil@example.ie", "a.b.c@sub.example.com", "josé@exämple.de",
		"用户@例子.广告", "x_y-z@1.example", strings.Repeat("a", 64) + "@example.com",
	}
	for _, email := range good {
		if _, _, ok := address(email); !ok {
			t.Errorf("%q is refused", email)
		}
	}
	bad := []string{
		"", "a", "@", "a@", "@b.co", "a@b", "a@b.", "a@.co", "a@b..co", ".a@b.co", "a.@b.co", "a..b@b.co", "a b@c.de",
		" a@b.co", "a@b.co ", "a@b@c.de", "a@-b.co", "a@b-.co", "a@b_c.de", `"a b"@c.de`, "a@[127.0.0.1]", "a\n@b.co",
		"a\x00@b.co", "a\x7f@b.co", "a\u200b@b.co", "a\u202e@b.co", "a\xff@b.co", "Ada <a@b.co>", "a@b.co,c@d.eu", "a\u00a0@b.co",
		strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("b", 64) + ".com",
	}
	for _, email := range bad {
		if _, _, ok := address(email); ok {
			t.Errorf("%q is accepted", email)
		}
	}
	for _, same := range [][2]string{
		{"Ada@Example.COM", "ada@example.com"},
		{"jose\u0301@example.com", "JOSÉ@example.com"},
		{"straße@example.com", "STRASSE@example.com"},
		{"\u017fam@example.com", "sam@example.com"}, // long s
		{"\u212aim@example.com", "kim@example.com"}, // Kelvin sign
		{"ΣΑΣ@example.com", "σας@example.com"},
	} {
		if fold(same[0]) != fold(same[1]) {
			t.Errorf("%q and %q are two accounts", same[0], same[1])
		}
	}
}

// SPEC A1: twenty spellings of one address at once are one account.
func TestRegisterRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hashes.capacity = newCapacity(4) // so that all of them fit
	statuses := make([]int, 20)
	var all sync.WaitGroup
	for i := range statuses {
		email := []byte("abcde@example.com")
		for bit := range 5 {
			if i>>bit&1 == 1 {
				email[bit] -= 'a' - 'A'
			}
		}
		all.Go(func() {
			statuses[i] = b.do("POST", "/v1/auth/register", "", body("email", string(email), "password", goodPassword)).status
		})
	}
	all.Wait()

	made := 0
	for _, status := range statuses {
		switch status {
		case 201:
			made++
		case 409:
		default:
			t.Errorf("got %d", status)
		}
	}
	if made != 1 || b.count("select count(*) from users") != 1 {
		t.Errorf("%d accounts were made", made)
	}
}

// SPEC F2 and decisions: the first admin comes from outside, once.
func TestEnsureAdminOnManyNodes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const nodes = 5
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(b.ctx) }()
	if err := lockAccounts(b.ctx, tx); err != nil { // until all of them stand at the door
		t.Fatal(err)
	}

	errs := make(chan error, nodes)
	for i := range nodes {
		go func() { errs <- b.EnsureAdmin(b.ctx, fmt.Sprintf("root%d@example.com", i), goodPassword, false) }()
	}
	for len(errs) < nodes && b.waiters() < nodes {
	}
	if len(errs) > 0 {
		t.Error("a node did not wait")
	}
	if err := tx.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	for range nodes {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}

	if n := b.count("select count(*) from users where role = 'admin'"); n != 1 {
		t.Errorf("%d admins", n)
	}

	if err := b.EnsureAdmin(b.ctx, "other@example.com", goodPassword, false); err != nil {
		t.Fatal(err)
	}
	if n := b.count("select count(*) from users"); n != 1 {
		t.Errorf("%d accounts, though there was an admin", n)
	}
}

func TestAdminIsNeverRaisedInPassing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.account("root@example.com", identity.User) // another registration came first

	if err := b.EnsureAdmin(b.ctx, "ROOT@example.com", goodPassword, false); !fault.Is(err, "email-taken") {
		t.Errorf("ensure: %v", err)
	}
	if _, err := b.CreateAdmin(b.ctx, NewAdmin{Email: "root@example.com", Password: goodPassword}); !fault.Is(err, "email-taken") {
		t.Errorf("create: %v", err)
	}
	if n := b.count("select count(*) from users where role = 'admin'"); n != 0 {
		t.Errorf("%d admins", n)
	}
}

func TestCreateAdmin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	created, err := b.CreateAdmin(b.ctx, NewAdmin{Email: "boss@example.com", Password: goodPassword, Name: "Boss"})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	if again, err := b.CreateAdmin(b.ctx, NewAdmin{Email: "Boss@example.com", Password: "quite another one"}); err != nil || again {
		t.Error(again, err)
	}
	if _, err := b.CreateAdmin(b.ctx, NewAdmin{Email: "weak@example.com", Password: "password"}); !fault.Is(err, "invalid") {
		t.Error(err)
	}
	if _, _, err := b.Verify(b.ctx, "boss@example.com", goodPassword); err != nil {
		t.Error(err)
	}
}

// SPEC A5: the operator takes an address from an ordinary account, which is deleted with all that it
// opened; an administrator's is never taken, and all of it is one transaction.
func TestCreateAdminTakesOver_A5(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stranger := b.account("Root@Example.com", identity.User)
	take := NewAdmin{Email: "root@example.com", Password: "second canary", TakeOver: true}

	b.sessions.fail = errors.New("no")
	if isNew, err := b.CreateAdmin(b.ctx, take); err == nil || isNew || b.count(`select count(*) from users where deleted_at is null and id = $1`, stranger.ID) != 1 {
		t.Errorf("half of it is committed: %t, %v", isNew, err)
	}
	b.sessions.fail = nil
	b.sessions.taken()
	isNew, err := b.CreateAdmin(b.ctx, take)

	if err != nil || !isNew {
		t.Fatal(isNew, err)
	}
	if got := b.sessions.taken(); got != "end account-deleted, revoke account-deleted, webhooks of , delete factor, committed" {
		t.Errorf("what the stranger opened: %s", got)
	}
	if n := b.count(`select count(*) from users where role = 'admin' and deleted_at is null and email_key = 'root@example.com'`); n != 1 {
		t.Errorf("%d administrators", n)
	}
	if _, _, err := b.Verify(b.ctx, "root@example.com", goodPassword); !fault.Is(err, "invalid-credentials") {
		t.Errorf("the stranger's password: %v", err)
	}
	if id, _, err := b.Verify(b.ctx, "root@example.com", "second canary"); err != nil || id == stranger.ID {
		t.Errorf("%s, %v", id, err)
	}
	if got := b.trail(stranger.ID.String()); !strings.Contains(got, "user.deleted") {
		t.Errorf("the trail is %s", got)
	}

	if isNew, err := b.CreateAdmin(b.ctx, NewAdmin{Email: "root@example.com", Password: "third canary", TakeOver: true}); isNew || err != nil {
		t.Errorf("from an administrator: %t, %v", isNew, err)
	}
	if _, _, err := b.Verify(b.ctx, "root@example.com", "second canary"); err != nil {
		t.Errorf("the administrator: %v", err)
	}
	if isNew, err := b.CreateAdmin(b.ctx, NewAdmin{Email: "free@example.com", Password: goodPassword, TakeOver: true}); !isNew || err != nil {
		t.Errorf("of nobody: %t, %v", isNew, err)
	}
}

// SPEC A12 (ASVS 5.0 6.4.1): an initial password is good for being changed, by another one.
func TestInitialPassword_A12(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.CreateAdmin(b.ctx, NewAdmin{Email: "boss@example.com", Password: goodPassword, Name: "Boss", MustChange: true}); err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureAdmin(b.ctx, "other@example.com", goodPassword, true); err != nil { // there is one
		t.Fatal(err)
	}
	id, _, err := b.Verify(b.ctx, "boss@example.com", goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	restriction := func(want identity.Restriction) {
		t.Helper()
		if account, err := b.Account(b.ctx, id); err != nil || account.Restriction != want || !account.Active {
			t.Errorf("%+v, %v", account, err)
		}
	}

	restriction(identity.PasswordChangeRequired)
	if _, err := b.PreparePassword(b.ctx, id, goodPassword, goodPassword); !fault.Is(err, "invalid") {
		t.Errorf("the same one: %v", err)
	}
	set, err := b.PreparePassword(b.ctx, id, goodPassword, "second canary")
	if err != nil {
		t.Fatal(err)
	}
	restriction(identity.PasswordChangeRequired)
	if err := postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error { return set(b.ctx, tx) }); err != nil {
		t.Fatal(err)
	}
	restriction(identity.Unrestricted)
	if _, err := b.PreparePassword(b.ctx, id, "second canary", "second canary"); err != nil {
		t.Errorf("a password that is not an initial one: %v", err)
	}
}

// SPEC A12: the first administrator of many nodes has an initial password too.
func TestInitialPasswordOfTheFirstAdministrator_A12(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.EnsureAdmin(b.ctx, "root@example.com", goodPassword, true); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`select count(*) from users where password_must_change`); n != 1 {
		t.Errorf("%d accounts must change their password", n)
	}
}
