// Package clientaddr carries the network address of a request's client in a context.
// The HTTP edge sets it (web.ClientAddress); limits, sessions and tickets read it
// without knowing of HTTP.
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

// sitePrefix is how much of an IPv6 address belongs to one customer of a provider,
// who may send from each of the 2^64 addresses below it.
const sitePrefix = 64

// Network returns the prefix by which limits count an address: the address itself
// for IPv4, its /64 for IPv6, and the zero Prefix for the zero Addr.
func Network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = sitePrefix
	}
	p, _ := a.Prefix(bits) // fails for the zero Addr only
	return p
}
