package testport_test

import (
	"net"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/testport"
)

// No two callers get the same port, although no process listens on it.
func TestReservedOnce(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}

	for range 500 {
		p := testport.For(t)
		if seen[p.Number] {
			t.Fatalf("port %d was reserved twice", p.Number)
		}
		seen[p.Number] = true
	}
}

// What the kernel chooses is never a reserved port.
func TestOutsideOfTheEphemeralRange(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 200 {
		seen[testport.For(t).Number] = true
	}

	for range 2_000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		if port := l.Addr().(*net.TCPAddr).Port; seen[port] {
			t.Fatalf("the kernel gave port %d to a listener", port)
		}
	}
}

// A server stops and listens again while clients of its own still hold connections.
func TestListensAgain(t *testing.T) {
	t.Parallel()
	p := testport.For(t)

	for range 50 {
		l, err := net.Listen("tcp", p.Address())
		if err != nil {
			t.Fatal(err)
		}
		up, err := net.Dial("tcp", p.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = up.Close() })
		down, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = down.Close() // the side of the server waits: FIN-WAIT, then TIME-WAIT
		_ = l.Close()
	}
}

// A port on which any process listens is not reserved.
func TestTakenPortIsNotReserved(t *testing.T) {
	t.Parallel()
	p := testport.For(t)
	l, err := net.Listen("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_ = p.Close()

	if again, err := testport.ReserveNumber(p.Number); err == nil {
		_ = again.Close()
		t.Errorf("port %d was reserved although it is in use", p.Number)
	}
}
