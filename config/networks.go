package config

import (
	"fmt"
	"net/netip"
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
