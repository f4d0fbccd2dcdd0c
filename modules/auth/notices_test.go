package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// ASVS 5.0 6.3.7: the program of a client is named by a closed set, so that a message contains nothing
// that a stranger wrote, and an update of a browser is no new device.
func TestDevice(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                 "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0":              "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                  "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 Mobile/15E148 Safari/604.1": "Chrome on iOS",
		"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36":                           "Chrome on Android",
		"curl/8.5.0": "curl", "": "an unknown program", "Call +1 555 0100 to keep your account": "an unknown program", "Thing (Windows)": "a program on Windows",
	} {
		if got := device(agent); got != want {
			t.Errorf("%q is %q, want %q", agent, got, want)
		}
	}
}

// recorded are the notices of a test.
type recorded struct {
	list []string
	fail error
}

func (r *recorded) Notify(_ context.Context, tx pgx.Tx, user uuid.UUID, kind string, facts map[string]string) error {
	if tx == nil || user == uuid.Nil {
		return errors.New("no transaction or no account")
	}
	r.list = append(r.list, fmt.Sprint(kind, " ", facts["network"], " ", facts["device"], " ", facts["key"]))
	return r.fail
}

// SPEC A9: each of these changes sends a notice in its transaction: without the notice there is no change.
func TestNotices_A9(t *testing.T) {
	t.Parallel()
	b := setup(t)
	told := &recorded{}
	b.notices = told
	from := client{agent: "curl/8", address: netip.MustParseAddr("192.0.2.7")}

	opened, err := b.logIn(b.ctx, email, b.accounts.password, "", from)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := b.callerOfSession(b.ctx, sidOf(t, opened.access), from.address)
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := b.createKey(b.ctx, caller, "k", identity.ScopesOf(identity.OrdersRead), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.rotateKey(b.ctx, caller, k.id, 0); err != nil {
		t.Fatal(err)
	}
	opened, err = b.replacePassword(b.ctx, caller, passwordChange{current: b.accounts.password, next: "another canary"}, from)
	if err != nil {
		t.Fatal(err)
	}
	if caller, err = b.callerOfSession(b.ctx, sidOf(t, opened.access), from.address); err != nil {
		t.Fatal(err)
	}
	want := []string{
		NoticeNewLogin + " 192.0.2.0/24 curl ", NoticeKeyCreated + "   " + k.id.String(), NoticeKeyRotated + "   " + k.id.String(), NoticePasswordChanged + " 192.0.2.0/24 curl ",
	}
	if fmt.Sprint(told.list) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", told.list, want)
	}

	told.fail = errors.New("no")
	state := func() string {
		return fmt.Sprint(b.count(`select count(*) from sessions`), b.count(`select count(*) from api_keys`), b.count(`select count(*) from api_keys where rotated_at is not null`))
	}
	before := state()
	_, login := b.logIn(b.ctx, email, b.accounts.password, "", from)
	_, _, create := b.createKey(b.ctx, caller, "k2", identity.ScopesOf(identity.OrdersRead), nil)
	_, _, rotate := b.rotateKey(b.ctx, caller, k.id, 0)
	_, password := b.replacePassword(b.ctx, caller, passwordChange{current: b.accounts.password, next: "a third canary"}, from)
	for i, err := range []error{login, create, rotate, password} {
		if !errors.Is(err, told.fail) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if after := state(); after != before {
		t.Errorf("%s became %s", before, after)
	}
}
