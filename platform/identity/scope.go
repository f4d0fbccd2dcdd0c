package identity

import (
	"regexp"
	"slices"
	"strings"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Scope is a permission of an API key. A session may do what its role allows; a key needs the scope
// in addition (SPEC A8).
type Scope string

// The scopes of the product's own routes. They are part of the API and do not change. The set is
// open: a scope exists because a route names it (web.API.Scopes), so that a module of another program
// can have its own, such as "coupons:read".
const (
	AccountRead        Scope = "account:read"
	AuditRead          Scope = "audit:read"
	DeadLettersRead    Scope = "dead-letters:read"
	DeadLettersWrite   Scope = "dead-letters:write"
	EventsRead         Scope = "events:read"
	NotificationsRead  Scope = "notifications:read"
	NotificationsWrite Scope = "notifications:write"
	OrdersRead         Scope = "orders:read"
	OrdersSteps        Scope = "orders:steps"
	OrdersWrite        Scope = "orders:write"
	PaymentsRead       Scope = "payments:read"
	PaymentsWrite      Scope = "payments:write"
	ProductsRead       Scope = "products:read"
	ProductsWrite      Scope = "products:write"
	StockRead          Scope = "stock:read"
	StockWrite         Scope = "stock:write"
	WebhooksRead       Scope = "webhooks:read"
	WebhooksWrite      Scope = "webhooks:write"
)

// NoKeys marks routes that no API key may use: the ones that change an account, its credentials or
// other accounts. It is not a scope that a key can have.
const NoKeys Scope = "no-keys"

var scopeForm = regexp.MustCompile(`^[a-z][a-z0-9-]*:[a-z][a-z0-9-]*$`)

// Valid reports whether the scope has the form resource:action, in lower-case letters,
// digits and hyphens. NoKeys is not valid: no key can have it.
func (s Scope) Valid() bool { return scopeForm.MatchString(string(s)) }

// ScopeSet is a set of scopes. The zero value is empty; sets can be compared with ==.
type ScopeSet struct {
	names string // sorted, with spaces between: "orders:read orders:write"
}

// ScopesOf returns a set of the names. It ignores names that are not valid scopes, such as NoKeys, so
// a set never allows more than it was given.
func ScopesOf(names ...Scope) ScopeSet {
	valid := slices.DeleteFunc(slices.Clone(names), func(s Scope) bool { return !s.Valid() })
	slices.Sort(valid)
	var list []string
	for _, name := range slices.Compact(valid) {
		list = append(list, string(name))
	}
	return ScopeSet{strings.Join(list, " ")}
}

// Has reports whether the set contains scope. It is false for values that are not scopes, such as
// NoKeys or "".
func (s ScopeSet) Has(scope Scope) bool {
	for name := range strings.FieldsSeq(s.names) {
		if name == string(scope) {
			return true
		}
	}
	return false
}

// List returns the scopes of the set, sorted by name. It is never nil.
func (s ScopeSet) List() []Scope {
	list := []Scope{}
	for name := range strings.FieldsSeq(s.names) {
		list = append(list, Scope(name))
	}
	return list
}

// MarshalText implements encoding.TextMarshaler: the names, separated by spaces.
func (s ScopeSet) MarshalText() ([]byte, error) { return []byte(s.names), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Like ScopesOf it ignores names that are not
// valid scopes.
func (s *ScopeSet) UnmarshalText(text []byte) error {
	var names []Scope
	for name := range strings.FieldsSeq(string(text)) {
		names = append(names, Scope(name))
	}
	*s = ScopesOf(names...)
	return nil
}

// ScopeMissing refuses an API key that may do less than was asked for.
func ScopeMissing(scope Scope) error {
	return fault.New(fault.KindForbidden, "scope-missing", "This API key does not have the scope %s.", scope).With("scope", scope)
}
