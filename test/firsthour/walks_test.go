package firsthour_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/testport"
)

// walked is what each walk prints when it has succeeded.
var walked = regexp.MustCompile(`(?s)^1\. .*\n2\. .*\n3\. .*\n4\. .*\n +order\.created\n.* +order\.processing\n5\. .*\n +order\.created is signed by the server\n$`)

// SPEC G12: with curl alone, with Node alone and with Go alone, a script places an order, follows it,
// and receives and verifies a webhook.
func TestWalks(t *testing.T) {
	t.Parallel()
	s := launch(t)
	dir := root(t)
	for _, walk := range []struct {
		name, dir string
		needs     []string
		command   []string
	}{
		{"curl", dir, []string{"curl", "perl", "openssl"}, []string{"sh", "examples/walks/walk.sh"}},
		{"Node", dir, []string{"node"}, []string{"node", "examples/walks/walk.mjs"}},
		{"Go", dir, nil, []string{"go", "run", "-C", "clients/go", "./walk"}},
	} {
		t.Run(walk.name, func(t *testing.T) {
			need(t, walk.needs...)
			port := testport.For(t)
			env := []string{"ORDERFLOW_URL=" + s.base, "ORDERFLOW=" + s.binary, "PORT=" + port.String()}

			printed := run(t, walk.dir, env, walk.command[0], walk.command[1:]...)

			if !walked.MatchString(printed) {
				t.Errorf("it printed\n%s", printed)
			}
		})
	}
}

// SPEC G11: the quick start of the Go client compiles and prints what its README says, for the account that
// the README of the product registers.
func TestGoQuickStart(t *testing.T) {
	t.Parallel()
	s := launch(t)
	readme := filepath.Join(root(t), "clients", "go", "README.md")
	programs, printed := blocks(t, readme, "go"), blocks(t, readme, "")
	if len(programs) != 2 || len(printed) != 2 || !strings.HasPrefix(programs[0], "package main\n") {
		t.Fatalf("the README has other blocks than this test runs: %q %q", programs, printed)
	}
	register := blocks(t, filepath.Join(root(t), "README.md"), "sh")[1]
	register, _, _ = strings.Cut(register, "\nT=$(")
	out, done, _ := s.shell(t, register)
	if err := <-done; err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// It belongs to the module of the client, so that it uses this version.
	dir, err := os.MkdirTemp(filepath.Join(root(t), "clients", "go"), "quickstart-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(programs[0]), 0o600); err != nil {
		t.Fatal(err)
	}

	got := run(t, dir, []string{"ORDERFLOW_URL=" + s.base}, "go", "run", ".")

	if got != printed[1] {
		t.Errorf("it prints\n%s, its README says\n%s", got, printed[1])
	}
}
