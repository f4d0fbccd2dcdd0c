package identity

import (
	"slices"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Scope is something that an API key may be allowed to do. A session may do
// whatever its role allows; a key only what its scopes allow as well (SPEC A8).
type Scope string

// The closed set. A route names the one that it needs; the names are part of the
// API and stay.
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

// NoKeys marks routes that no key opens: those by which an account, its
// credentials or other people's accounts change. It is no scope that a key can have.
const NoKeys Scope = "no-keys"

var scopes = []Scope{
	AccountRead, DeadLettersRead, DeadLettersWrite, EventsRead, NotificationsRead, NotificationsWrite, OrdersRead, OrdersWrite, PaymentsRead, PaymentsWrite,
	ProductsRead, ProductsWrite, StockRead, StockWrite, WebhooksRead, WebhooksWrite,
}

// AllScopes lists the closed set, by name.
func AllScopes() []Scope { return slices.Clone(scopes) }

// ScopeSet is a set of scopes. The zero value is empty; sets can be compared.
type ScopeSet uint32

// ScopesOf makes a set. Names that are no scopes are left out: a set never holds
// more than it was given.
func ScopesOf(names ...Scope) (set ScopeSet) {
	for _, name := range names {
		if i := slices.Index(scopes, name); i >= 0 {
			set |= 1 << i
		}
	}
	return set
}

// Has is false for what is no scope, such as NoKeys or "".
func (s ScopeSet) Has(scope Scope) bool {
	i := slices.Index(scopes, scope)
	return i >= 0 && s&(1<<i) != 0
}

// List gives the names, sorted.
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
