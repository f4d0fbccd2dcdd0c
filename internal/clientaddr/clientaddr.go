// Package clientaddr carries the network address of the client of a request in a context. The HTTP
// layer sets it (web.ClientAddress), so that limits, sessions and tickets can read it without
// depending on HTTP.
package clientaddr

import (
	"context"
	"net/netip"
)

type contextKey struct{}

// With returns a context from which From reads addr.
func With(ctx context.Context, addr netip.Addr) context.Context {
	return context.WithValue(ctx, contextKey{}, addr)
}

// From returns the client's address. The zero Addr, which is not valid, means that
// the context belongs to no request.
func From(ctx context.Context) netip.Addr {
	addr, _ := ctx.Value(contextKey{}).(netip.Addr)
	return addr
}

// sitePrefix is the length of the IPv6 prefix that a provider assigns to one customer, who can send
// from each of its 2^64 addresses.
const sitePrefix = 64

// Network returns the prefix under which limits count an address: the address itself for IPv4, its
// /64 for IPv6, and the zero Prefix for the zero Addr.
func Network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = sitePrefix
	}
	p, _ := a.Prefix(bits) // fails for the zero Addr only
	return p
}
