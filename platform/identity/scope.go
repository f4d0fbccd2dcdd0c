package identity

import (
	"slices"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Scope is a permission of an API key. A session may do what its role allows; a key needs the scope
// in addition (SPEC A8).
type Scope string

// The closed set of scopes. Each route names the one that it requires. The names are part of the
// API and do not change.
const (
	AccountRead        Scope = "account:read"
	DeadLettersRead    Scope = "dead-letters:read"
	DeadLettersWrite   Scope = "dead-letters:write"
	EventsRead         Scope = "events:read"
	NotificationsRead  Scope = "notifications:read"
	NotificationsWrite Scope = "notifications:write"
	OrdersRead         Scope = "orders:read"
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

var scopes = []Scope{
	AccountRead, DeadLettersRead, DeadLettersWrite, EventsRead, NotificationsRead, NotificationsWrite, OrdersRead, OrdersWrite, PaymentsRead, PaymentsWrite,
	ProductsRead, ProductsWrite, StockRead, StockWrite, WebhooksRead, WebhooksWrite,
}

// AllScopes returns all scopes, sorted by name.
func AllScopes() []Scope { return slices.Clone(scopes) }

// ScopeSet is a set of scopes. The zero value is empty. Sets are comparable with ==.
type ScopeSet uint32

// ScopesOf returns a set of the names. It ignores unknown names, so a set never allows more than it
// was given.
func ScopesOf(names ...Scope) (set ScopeSet) {
	for _, name := range names {
		if i := slices.Index(scopes, name); i >= 0 {
			set |= 1 << i
		}
	}
	return set
}

// Has reports whether the set contains scope. It is false for values that are not scopes, such as
// NoKeys or "".
func (s ScopeSet) Has(scope Scope) bool {
	i := slices.Index(scopes, scope)
	return i >= 0 && s&(1<<i) != 0
}

// List returns the scopes of the set, sorted by name.
func (s ScopeSet) List() []Scope {
	list := []Scope{}
	for i, name := range scopes {
		if s&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return list
}

// ScopeMissing refuses an API key that may do less than was asked for.
func ScopeMissing(scope Scope) error {
	return fault.New(fault.Forbidden, "scope-missing", "This API key does not have the scope %s.", scope).With("scope", scope)
}
