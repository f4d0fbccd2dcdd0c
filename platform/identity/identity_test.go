package identity_test

import (
	"context"
	"regexp"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC A7: the roles that each role covers. No role covers an unknown one.
func TestCovers(t *testing.T) {
	t.Parallel()
	all := []identity.Role{identity.Anyone, identity.User, identity.Admin, "", "root"}
	may := map[[2]identity.Role]bool{
		{identity.User, identity.User}: true, {identity.Admin, identity.User}: true, {identity.Admin, identity.Admin}: true,
	}
	for _, has := range all {
		may[[2]identity.Role{has, identity.Anyone}] = true
		for _, need := range all {
			if got := has.Covers(need); got != may[[2]identity.Role{has, need}] {
				t.Errorf("%q covers %q: %v", has, need, got)
			}
		}
	}
}

func TestCaller(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("018f0000-0000-7000-8000-000000000001")
	ann := identity.Caller{UserID: id, SessionID: uuid.New(), Role: identity.User}
	root := identity.Caller{UserID: id, Role: identity.Admin}

	if ann.IsAdmin() || !root.IsAdmin() || (identity.Caller{}).IsAdmin() {
		t.Error("who is an admin")
	}
	if ann.Actor() != "user:018f0000-0000-7000-8000-000000000001" || root.Actor() != "admin:018f0000-0000-7000-8000-000000000001" {
		t.Errorf("actors %s, %s", ann.Actor(), root.Actor())
	}
	ctx := identity.NewContext(t.Context(), ann)
	if got, ok := identity.FromContext(ctx); !ok || got != ann || identity.MustFromContext(ctx) != ann {
		t.Errorf("from the context: %v, %v", got, ok)
	}
	if got, ok := identity.FromContext(identity.WithoutCaller(ctx)); ok {
		t.Errorf("still there: %v", got)
	}
}

// SPEC A8: a key is its owner in histories, and can be told from a session.
func TestKeyIsACaller(t *testing.T) {
	t.Parallel()
	id, key := uuid.MustParse("018f0000-0000-7000-8000-000000000001"), uuid.MustParse("018f0000-0000-7000-8000-000000000002")
	form := regexp.MustCompile(`^(system|(user|admin):[0-9a-f-]{36}(/key:[0-9a-f-]{36})?)$`)
	session := identity.Caller{UserID: id, SessionID: uuid.New(), Role: identity.User}
	machine := identity.Caller{UserID: id, KeyID: key, Role: identity.Admin, Scopes: identity.ScopesOf(identity.OrdersRead)}

	if session.IsKey() || !machine.IsKey() || session.Credential() != session.SessionID || machine.Credential() != key {
		t.Error("which is the key")
	}
	if machine.Actor() != "admin:"+identity.Actor(id.String())+"/key:"+identity.Actor(key.String()) {
		t.Errorf("actor %s", machine.Actor())
	}
	for _, a := range []identity.Actor{session.Actor(), machine.Actor(), identity.System} {
		if !form.MatchString(string(a)) {
			t.Errorf("actor %s", a)
		}
	}
	for actor, want := range map[identity.Actor][2]string{
		session.Actor(): {"user", id.String()}, machine.Actor(): {"admin", id.String()}, identity.System: {"system", ""}, "": {},
	} {
		if kind, of := actor.Parts(); [2]string{kind, of} != want {
			t.Errorf("%q has the parts %q %q", actor, kind, of)
		}
	}
	for _, scope := range []identity.Scope{identity.OrdersRead, identity.OrdersWrite, "coupons:read", identity.NoKeys, "", "orders:*", " ", "orders:read "} {
		if !session.AllowsScope(scope) || machine.AllowsScope(scope) != (scope == identity.OrdersRead) {
			t.Errorf("who may %q", scope)
		}
	}
}

// SPEC A8: a set holds what it was given and nothing else, the scopes of other modules
// included.
func TestScopeSets(t *testing.T) {
	t.Parallel()
	all := []identity.Scope{identity.AccountRead, "coupons:read", identity.OrdersRead, identity.OrdersWrite}
	for _, one := range all {
		set := identity.ScopesOf(one, identity.NoKeys, "", "everything", "Orders:read", "orders: read", "a:b c:d")
		if got := set.List(); len(got) != 1 || got[0] != one || set.Has(identity.NoKeys) || set.Has("") || set.Has(" ") || set.Has("a:b") {
			t.Errorf("of %s: %v", one, got)
		}
	}
	given := []identity.Scope{all[3], all[0], all[1], all[0], all[2]}
	if got := identity.ScopesOf(given...).List(); !slices.Equal(got, all) || identity.ScopesOf().Has(all[0]) {
		t.Errorf("of all: %v", got)
	}
	var back identity.ScopeSet
	text, err := identity.ScopesOf(given...).MarshalText()
	if err != nil || back.UnmarshalText(text) != nil || back != identity.ScopesOf(given...) {
		t.Errorf("%q became %v, %v", text, back, err)
	}
	if set := identity.ScopesOf(all[2:]...); set.Has("orders:read orders:write") || set != identity.ScopesOf(all[3], all[2]) || (identity.ScopeSet{}) != identity.ScopesOf() {
		t.Error("sets of the same scopes are not the same")
	}
}

func TestNoCaller(t *testing.T) {
	t.Parallel()
	if _, ok := identity.FromContext(context.Background()); ok {
		t.Error("a context without a caller has one")
	}
	defer func() {
		if recover() == nil {
			t.Error("a route without a caller goes on")
		}
	}()
	identity.MustFromContext(context.Background())
}
