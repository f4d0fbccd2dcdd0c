// Package testport reserves TCP ports for test servers that start later, or that stop and start
// again at the same address.
//
// A port from listening on :0 belongs to the kernel's ephemeral range. While no process listens on it,
// any listener on :0 and any outgoing connection of the machine may take it. A reserved port lies
// outside of that range, so the kernel assigns it to no process. A UDP socket on the same number keeps it
// from other callers of Reserve, in this process and in others, until Close or the end of the
// process. TCP and UDP ports are independent, so the socket is not in the way of the server.
package testport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
)

const host = "127.0.0.1"

// Candidates are the ports from first to last outside of the ephemeral range. Some services with
// well-known ports lie among them; a port on which a process listens is not reserved.
const (
	first = 10_000
	last  = 65_535
)

// attempts bounds the search. There are about 27,000 candidates on Linux.
const attempts = 1_000

// Port is a reserved TCP port of 127.0.0.1.
type Port struct {
	Number int
	lock   net.PacketConn
}

// Reserve reserves a port on which no process listens. The caller must close it.
func Reserve() (*Port, error) {
	low, high := ephemeral()
	below := max(low-first, 0)
	count := below + max(last-high, 0)
	if count == 0 {
		return nil, fmt.Errorf("reserve a port: the ephemeral range %d-%d leaves none from %d to %d", low, high, first, last)
	}
	for range attempts {
		n := rand.IntN(count) //nolint:gosec // spreads the callers, guards nothing
		number := first + n
		if n >= below {
			number = high + 1 + n - below
		}
		if p, err := reserve(number); err == nil {
			return p, nil
		}
	}
	return nil, errors.New("reserve a port: all that were tried are in use")
}

// For reserves a port until the end of the test.
func For(t testing.TB) *Port {
	t.Helper()
	p, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// reserve takes the lock of a port and checks that it is free.
func reserve(number int) (*Port, error) {
	address := net.JoinHostPort(host, strconv.Itoa(number))
	lock, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return &Port{number, lock}, listener.Close()
}

// Address returns host:port.
func (p *Port) Address() string { return net.JoinHostPort(host, p.String()) }

// String returns the number.
func (p *Port) String() string { return strconv.Itoa(p.Number) }

// Close releases the port, so that another call of Reserve may get it.
func (p *Port) Close() error { return p.lock.Close() }

// ephemeral returns the range from which the kernel takes ports by itself: what Linux says, or
// else the range that IANA recommends and other systems use.
func ephemeral() (low, high int) {
	said, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 49_152, last
	}
	if _, err := fmt.Sscan(string(said), &low, &high); err != nil {
		return 49_152, last
	}
	return low, high
}
