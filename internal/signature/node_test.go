package signature

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// SPEC E8: the library that most receivers use takes our messages, and nothing else.
// It needs Node.js, and npm must reach a registry.
func TestOfficialLibrary(t *testing.T) {
	t.Parallel()
	node, npm := program(t, "node"), program(t, "npm")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/verify")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--fetch-timeout=20000")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm cannot install the library here: %v\n%s", err, out)
	}

	old, secret := NewSecret(), NewSecret()
	var in bytes.Buffer
	messages := []struct {
		secrets []Secret
		shown   Secret
		body    string
		good    bool
	}{
		{[]Secret{secret}, secret, `{"type":"order.created","data":{"name":"Käse \u0001 <&>"}}`, true},
		{[]Secret{secret, old}, secret, `{}`, true},
		{[]Secret{secret, old}, old, `{}`, true},
		{[]Secret{secret}, old, `{}`, false},
		{[]Secret{secret[:24]}, secret[:24], `{}`, true},
	}
	for _, m := range messages {
		h := http.Header{}
		Sign(h, m.secrets, "msg_0192f0c13b6e7c7a9d620d8f3f0f6a11", time.Now(), []byte(m.body))
		headers := map[string]string{}
		for name, values := range h {
			headers[strings.ToLower(name)] = values[0]
		}
		raw, err := json.Marshal(map[string]any{"secret": m.shown.Reveal(), "headers": headers, "body": m.body})
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(raw, '\n'))
	}
	script := exec.CommandContext(ctx, node, "verify.js")
	script.Dir, script.Stdin = dir, &in
	out, err := script.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(messages) {
		t.Fatalf("it says\n%s", out)
	}
	for i, line := range lines {
		var said struct{ Good, Body, Time bool }
		if err := json.Unmarshal([]byte(line), &said); err != nil || said.Good != messages[i].good || said.Body || said.Time {
			t.Errorf("message %d: %s", i, line)
		}
	}
}

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("there is no %s here", name)
	}
	return path
}
