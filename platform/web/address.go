package web

import (
	"net/netip"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
)

// ClientAddress determines the address of the client. Any client can send X-Forwarded-For, so the
// header is read from the right, and only as long as the address read so far is a trusted proxy
// (SPEC A6). Without trusted proxies the header is ignored.
func ClientAddress(trusted []netip.Prefix) fiber.Handler {
	own := make([]netip.Prefix, 0, len(trusted))
	for _, p := range trusted {
		own = append(own, plainPrefix(p))
	}
	return func(c *fiber.Ctx) error {
		remote, _ := netip.AddrFromSlice(c.Context().RemoteIP())
		var lines []string
		if len(own) > 0 {
			for _, line := range c.Request().Header.PeekAll(fiber.HeaderXForwardedFor) {
				lines = append(lines, string(line))
			}
		}
		addr := clientAddress(plainAddr(remote), lines, own)
		c.SetUserContext(clientaddr.With(c.UserContext(), addr))
		return c.Next()
	}
}

// clientAddress goes from the address of the connection towards the client. It stops at an entry that is not
// an address, because the remaining entries cannot be trusted.
func clientAddress(remote netip.Addr, lines []string, trusted []netip.Prefix) netip.Addr {
	entries := strings.Split(strings.Join(lines, ","), ",")
	at := remote
	for i := len(entries) - 1; i >= 0 && contains(trusted, at); i-- {
		next, ok := parseAddress(strings.TrimSpace(entries[i]))
		if !ok {
			break
		}
		at = next
	}
	return at
}

// parseAddress also accepts "1.2.3.4:5" and "[::1]:5", which some proxies write.
func parseAddress(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return plainAddr(addr), true
	}
	if pair, err := netip.ParseAddrPort(s); err == nil {
		return plainAddr(pair.Addr()), true
	}
	return netip.Addr{}, false
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// plainAddr returns the same address for ::ffff:1.2.3.4 and 1.2.3.4.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func plainPrefix(p netip.Prefix) netip.Prefix {
	const mapped = 96
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped).Masked()
	}
	return p.Masked()
}
