package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// boundary separates the outputs of two blocks.
const boundary = "-- end of block --"

// runShell runs the blocks in one shell, in a folder of their own, and returns what each printed.
func runShell(t *testing.T, s *server, examples []guideExample) []string {
	t.Helper()
	var script strings.Builder
	for _, e := range examples {
		text := strings.ReplaceAll(e.text, "http://localhost:3000", s.base)
		fmt.Fprintf(&script, "%s\necho; echo '%s'\n", text, boundary)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "bash", "-u", "-c", script.String())
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	cmd.Env = append(os.Environ(), "ADMIN_EMAIL="+adminEmail, "ADMIN_PASSWORD="+adminPassword, "PATH="+authenticatorCommand(t)+":"+os.Getenv("PATH"))
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	stop := time.AfterFunc(testwait.Limit, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		t.Fatalf("the commands of the guide: %v\n%s\n%s", err, complaints.String(), out.String())
	}
	outputs := strings.Split(out.String(), "\n"+boundary+"\n")
	if len(outputs) != len(examples)+1 {
		t.Fatalf("%d blocks printed %d outputs", len(examples), len(outputs)-1)
	}
	return outputs
}

// authenticatorCommand returns a folder with a command oathtool, which asks this process for the code of a
// secret.
func authenticatorCommand(t *testing.T) string {
	t.Helper()
	codes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, err := totp.GenerateCode(r.URL.Query().Get("secret"), time.Now())
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, code)
	}))
	t.Cleanup(codes.Close)
	dir := t.TempDir()
	script := "#!/bin/sh\ncurl -s \"" + codes.URL + "?secret=$3\"\n"
	if err := os.WriteFile(filepath.Join(dir, "oathtool"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// matches compares an output with what the guide prints. A block without printed output must not print
// a problem.
func matches(e guideExample, output string) error {
	if e.lines != "" {
		if err := matchesLines(e.lines, output); err != nil {
			return err
		}
	}
	responses := valuesOf(output)
	for _, r := range responses {
		object, _ := r.(map[string]any)
		if object["requestId"] != nil && !strings.Contains(e.json, `"code": "`+fmt.Sprint(object["code"])+`"`) {
			return fmt.Errorf("an unexpected problem: %v", object["detail"])
		}
	}
	for i, want := range valuesOf(e.json) {
		found := false
		for len(responses) > 0 && !found {
			found = contains(responses[0], want)
			responses = responses[1:]
		}
		if !found {
			return fmt.Errorf("no response is like the printed one, number %d: %v", i+1, want)
		}
	}
	return nil
}

// valuesOf returns the JSON objects of a text in their order.
func valuesOf(text string) (list []any) {
	for from := strings.Index(text, "{"); from >= 0; {
		d := json.NewDecoder(strings.NewReader(text[from:]))
		var v any
		if d.Decode(&v) == nil {
			list = append(list, v)
			from += int(d.InputOffset())
		} else {
			from++
		}
		next := strings.Index(text[from:], "{")
		if next < 0 {
			break
		}
		from += next
	}
	return list
}

// contains reports whether got has all members of want. The text … is like any text.
func contains(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		for name, v := range want {
			if member, there := object[name]; !ok || !there || !contains(member, v) {
				return false
			}
		}
		return ok
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		for i := range want {
			if !contains(list[i], want[i]) {
				return false
			}
		}
		return true
	case string:
		text, ok := got.(string)
		return ok && (want == "…" && text != "" || text == want)
	default:
		return got == want
	}
}

// matchesLines reports which printed line the output does not have; names of headers are like each other
// in any case, and … is like any text.
func matchesLines(printed, output string) error {
	var lines []string
	for in := bufio.NewScanner(strings.NewReader(output)); in.Scan(); {
		lines = append(lines, strings.TrimSpace(in.Text()))
	}
	for line := range strings.Lines(printed) {
		parts := strings.Split(strings.TrimSpace(line), "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		pattern := regexp.MustCompile("(?i)^" + strings.Join(parts, ".*") + "$")
		found := false
		for _, l := range lines {
			found = found || pattern.MatchString(l)
		}
		if !found {
			return fmt.Errorf("no line is like %q", strings.TrimSpace(line))
		}
	}
	return nil
}
