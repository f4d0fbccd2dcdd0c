package app

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// maxClientLines is the budget for the Go client that oapi-codegen generates of all 95 operations, with
// models. Ten error responses for each operation would make 80,000 lines of it.
const maxClientLines = 27_000

const (
	oapiCodegen = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"
	ogen        = "github.com/ogen-go/ogen/cmd/ogen@v1.25.0"
)

// SPEC R25: clients that generators make of the document with their defaults compile, and place an order.
func TestGeneratedClients_R25(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	s.admin().product("KETTLE", 100)
	document := s.anonymous().want(200, "GET", "/openapi.json", "").raw
	env := func(name string) []string {
		return []string{"ORDERFLOW_URL=" + s.base, "ORDERFLOW_TOKEN=" + s.user(name).token, "GOFLAGS=-mod=mod"}
	}

	t.Run("oapi-codegen", func(t *testing.T) {
		dir := goClient(t, "oapi-codegen", document)
		runIn(t, dir, env("ann"), "go", "run", oapiCodegen, "-generate", "types,client", "-package", "client", "-o", "client/client.gen.go", "openapi.json")
		runIn(t, dir, env("bea"), "go", "mod", "tidy")
		runIn(t, dir, env("cleo"), "go", "run", ".")

		generated, err := os.ReadFile(filepath.Join(dir, "client", "client.gen.go"))
		if lines := bytes.Count(generated, []byte("\n")); err != nil || lines > maxClientLines {
			t.Errorf("the client has %d lines, above %d: %v", lines, maxClientLines, err)
		}
	})
	t.Run("ogen", func(t *testing.T) {
		dir := goClient(t, "ogen", document)
		runIn(t, dir, env("dora"), "go", "run", ogen, "--target", "client", "--package", "client", "openapi.json")
		runIn(t, dir, env("eve"), "go", "mod", "tidy")
		runIn(t, dir, env("fay"), "go", "run", ".")
	})
	t.Run("TypeScript", func(t *testing.T) {
		dir := npm(t, "testdata/generated/typescript")
		writeFile(t, filepath.Join(dir, "openapi.json"), document)
		runIn(t, dir, env("gail"), "npm", "test")
	})
}

// goClient prepares a module for a generated client, or skips the test where no module can be fetched.
func goClient(t *testing.T, name string, document []byte) (dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programLimit)
	defer cancel()
	for _, tool := range []string{oapiCodegen, ogen} {
		path, version, _ := strings.Cut(tool, "@")
		module, _, _ := strings.Cut(path, "/cmd/")
		if out, err := exec.CommandContext(ctx, "go", "list", "-m", module+"@"+version).CombinedOutput(); err != nil {
			t.Skipf("Go modules cannot be fetched: %s", out)
		}
	}
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/generated/"+name)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "client"), 0o750); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "openapi.json"), document)
	writeFile(t, filepath.Join(dir, "go.mod"), []byte("module example.com/generated\n\ngo 1.26\n"))
	return dir
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
