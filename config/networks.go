package config

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// Networks is a list of networks, written 10.0.0.0/8,192.168.1.7, where a single address is a
// network of one. It is a separate type because netip.Prefix does not parse a single address.
type Networks []netip.Prefix

// UnmarshalText parses the list.
func (n *Networks) UnmarshalText(text []byte) error {
	*n = nil
	for i, part := range strings.Split(string(text), ",") {
		p, err := network(strings.TrimSpace(part))
		if err != nil {
			return valueError(fmt.Sprintf("entry %d is neither an address nor a network such as 10.0.0.0/8", i+1))
		}
		*n = append(*n, p)
	}
	return nil
}

func network(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// private are the networks that are not part of the internet.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
}

// metadata are the addresses of the metadata services of AWS, Azure, Google Cloud and others.
var metadata = []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("168.63.129.16")}

func opensMetadata(p netip.Prefix) bool {
	return slices.ContainsFunc(metadata, unmapped(p).Contains)
}

// isTooWide reports whether the public networks add up to more than a /8 of IPv4 or a /20 of IPv6, the
// largest that one operator has. Several networks count together: two /1 are everything.
func (n Networks) isTooWide() bool {
	const widest4, widest6 = 8, 20
	var sum4, sum6 float64 // in networks of the widest size
	for i, p := range n {
		p = unmapped(p)
		if isWithin(p, private) || isWithin(p, n[:i]) || isWithin(p, widerThan(n[i+1:], p)) {
			continue
		}
		if p.Addr().Is4() {
			sum4 += math.Exp2(float64(widest4 - p.Bits()))
		} else {
			sum6 += math.Exp2(float64(widest6 - p.Bits()))
		}
	}
	return sum4 > 1 || sum6 > 1
}

// isWithin reports whether one of the networks contains all of p.
func isWithin(p netip.Prefix, networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(of netip.Prefix) bool {
		of = unmapped(of)
		return of.Bits() <= p.Bits() && of.Contains(p.Addr())
	})
}

// widerThan returns the networks that are wider than p, so that of two equal ones the first counts.
func widerThan(networks []netip.Prefix, p netip.Prefix) (wider []netip.Prefix) {
	for _, of := range networks {
		if unmapped(of).Bits() < p.Bits() {
			wider = append(wider, of)
		}
	}
	return wider
}

// unmapped returns the IPv4 network of an IPv4-mapped one.
func unmapped(p netip.Prefix) netip.Prefix {
	const mapped = 96
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped).Masked()
	}
	return p.Masked()
}
