package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// addresses decides where may be sent to: to the public internet, and to networks
// that the operator has opened. It is asked when an endpoint is saved, for the sake
// of a good answer, and about each address that is dialled, which is what counts: a
// name may lead elsewhere by then.
type addresses struct {
	plaintext bool
	allowed   []netip.Prefix
	ports     []uint16 // empty for the usual ones
	public    *ssrf.Guardian
	resolver  *net.Resolver
}

const (
	maxURL        = 2000
	resolveWithin = 2 * time.Second
)

// errRefused does not say in which range the address lies, so that it reveals nothing about the
// internal network.
var errRefused = errors.New("the address is not a public one")

func newAddresses(plaintext bool, allowed []netip.Prefix, ports []uint16, resolver *net.Resolver) *addresses {
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	return &addresses{plaintext, allowed, ports, ssrf.New(ssrf.WithAnyPort()), resolver}
}

// open tells whether the operator has opened the network of an address.
func (a *addresses) open(ip netip.Addr) bool {
	ip = ip.Unmap()
	return slices.ContainsFunc(a.allowed, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// inside are networks that are public by their numbers but reached only from inside of a cloud.
var inside = []netip.Prefix{
	// Azure: the host of a machine, with metadata and DNS (learn.microsoft.com, what-is-ip-address-168-63-129-16).
	netip.MustParsePrefix("168.63.129.16/32"),
	// Google Cloud: restricted.googleapis.com and private.googleapis.com (cloud.google.com/vpc, Private Google Access).
	netip.MustParsePrefix("199.36.153.4/30"), netip.MustParsePrefix("199.36.153.8/30"),
	// IBM Cloud: services and their private endpoints (cloud.ibm.com, VPC, service endpoints).
	netip.MustParsePrefix("161.26.0.0/16"), netip.MustParsePrefix("166.8.0.0/14"),
}

func (a *addresses) check(ip netip.Addr) error {
	if ip.Zone() != "" || !a.open(ip) && (a.public.SafeAddr(ip) != nil || isInside(ip.Unmap())) {
		return errRefused
	}
	return nil
}

func isInside(ip netip.Addr) bool {
	return slices.ContainsFunc(inside, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// control is for net.Dialer: it sees the address that the socket is about to
// connect to, behind any name, proxy or second look-up.
func (a *addresses) control(network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return errRefused
	}
	return a.check(at.Addr())
}

// validate checks a URL that a user wants to save.
func (a *addresses) validate(ctx context.Context, raw string) error {
	u, wrong := a.parse(raw)
	if wrong != "" {
		return badURL("invalid", wrong)
	}
	ips, err := a.resolve(ctx, u.Hostname())
	if err != nil {
		return err
	}
	for _, ip := range ips {
		if a.check(ip) != nil {
			return badURL("not-public", "leads to an address that is not public")
		}
	}
	if isLocalName(u.Hostname()) && !slices.ContainsFunc(ips, a.open) {
		return badURL("not-public", "is a name of a local network")
	}
	return nil
}

func badURL(code, message string) error {
	return fault.Invalid(fault.Field{Pointer: "/url", Code: code, Message: message})
}

// parse reads a URL, or says what is wrong with it.
func (a *addresses) parse(raw string) (u *url.URL, wrong string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, "is not a URL such as https://example.com/hooks"
	case len(raw) > maxURL:
		return nil, "is longer than " + strconv.Itoa(maxURL) + " characters"
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, "has characters that are not ASCII or not visible; write them escaped, and the host in punycode"
	case u.Scheme == "http" && !a.plaintext:
		return nil, "must be https"
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, "must be https"
	case u.User != nil:
		return nil, "has a user or password; the signature tells who sends"
	case u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return nil, "has a fragment"
	case !a.isPort(u) && len(a.ports) > 0:
		return nil, "has a port that is not allowed; ports: " + strings.Trim(fmt.Sprint(a.ports), "[]")
	case !a.isPort(u):
		return nil, "has a port that is neither 80, 443 nor above 1023"
	}
	return u, badHost(u.Hostname())
}

// isPort keeps away from the ports of other services, which might take a request for something
// else, or whose answer would tell that they are there.
func (a *addresses) isPort(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return false
		}
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if len(a.ports) > 0 {
		return err == nil && slices.Contains(a.ports, uint16(n))
	}
	return err == nil && (n == 80 || n == 443 || n > 1023)
}

// badHost finds hosts that different programs read in different ways: 2130706433,
// 0x7f.1 and 127.1 are addresses to some and names to others.
func badHost(host string) string {
	if _, err := netip.ParseAddr(host); err == nil && !strings.Contains(host, "%") {
		return ""
	}
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	switch {
	case strings.ContainsAny(host, "%:_\\"), len(host) > 253:
		return "has a host that is neither a name nor an address"
	case slices.Contains(labels, ""):
		return "has a host with an empty label"
	case last[0] >= '0' && last[0] <= '9': // no top-level domain does
		return "has an address that is not written in full"
	}
	return ""
}

// isLocalName is true for names that mean something on this network alone.
func isLocalName(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	host = strings.ToLower(host)
	if !strings.Contains(host, ".") {
		return true
	}
	return slices.ContainsFunc([]string{".localhost", ".local", ".internal", ".lan", ".home.arpa"},
		func(end string) bool { return strings.HasSuffix(host, end) })
}

// resolve finds all addresses of a host. A name that is not there is the caller's
// fault; a name server that is away is not.
func (a *addresses) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()

	ips, err := a.resolver.LookupNetIP(ctx, "ip", host)
	if missing, ok := errors.AsType[*net.DNSError](err); ok && missing.IsNotFound {
		return nil, badURL("unresolvable", "has a host that has no address")
	}
	if err != nil {
		return nil, fault.Unavailable("The name server", err)
	}
	for i := range ips {
		ips[i] = ips[i].Unmap() // what dialling would make of it
	}
	return ips, nil
}
