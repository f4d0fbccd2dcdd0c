package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// Networks are written 10.0.0.0/8,192.168.1.7: an address is a network of one. It is
// a type of its own because a netip.Prefix reads itself, and not a bare address.
type Networks []netip.Prefix

// UnmarshalText reads the list.
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
