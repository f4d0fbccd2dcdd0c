package app

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const typescriptClient = "../clients/typescript"

// SPEC E2, E3, E7, E22: the generated part of the TypeScript client is up to date, and the client
// passes its tests against a real server.
func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	dir := npm(t, typescriptClient)
	cfg := settings(t)
	cfg.Compression = true
	s := serveTest(t, cfg)
	s.admin().product("KETTLE", 1_000_000)

	runIn(t, dir, nil, "npm", "run", "generate", "--", s.base, "--check")
	runIn(t, dir, []string{"ORDERFLOW_URL=" + s.base, "ORDERFLOW_SKU=KETTLE"}, "npm", "test")
}

// SPEC E22: every command and the program of the README's quick start run as they are printed.
func TestTypeScriptQuickStart_E22(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	copyPackage(t, filepath.Join(dir, "clients", "typescript"), typescriptClient)
	readme := readText(t, filepath.Join(typescriptClient, "README.md"))
	install, rest := codeBlock(t, readme, "sh")
	program, rest := codeBlock(t, rest, "js")
	start, rest := codeBlock(t, rest, "sh")
	want, _ := codeBlock(t, rest, "text")
	writeText(t, filepath.Join(dir, "quickstart.mjs"), program)
	writeText(t, filepath.Join(dir, "package.json"), "{}")
	s := serveTest(t, settings(t))
	s.admin().product("GRINDER-HAND-01", 10)

	if out, err := shell(t, dir, s.base, install); err != nil {
		failedInstall(t, out, err)
	}
	got, err := shell(t, dir, s.base, start)
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}

	if sorted(got) != sorted(want) {
		t.Errorf("it prints\n%s\nand not\n%s", got, want)
	}
	if events := linesOf(got, "event "); events != linesOf(want, "event ") {
		t.Errorf("the events are\n%s", events)
	}
}

// codeBlock returns the next block of a language, and the text behind it.
func codeBlock(t *testing.T, text, language string) (block, rest string) {
	t.Helper()
	at := regexp.MustCompile("(?s)\n```" + language + "\n(.*?)```\n").FindStringSubmatchIndex(text)
	if at == nil {
		t.Fatalf("there is no block of %s", language)
	}
	return text[at[2]:at[3]], text[at[1]:]
}

// shell runs the commands and returns what they print.
func shell(t *testing.T, dir, url, commands string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-ec", commands)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "ORDERFLOW_URL="+url, "npm_config_prefer_offline=true")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func sorted(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func linesOf(text, prefix string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return !strings.HasPrefix(line, prefix) }), "\n")
}

func readText(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
