package app

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/docs"
	"github.com/orderflow-dev/orderflow/internal/golden"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/inventory"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
)

// fence is a fenced code block of a chapter.
type fence struct {
	chapter, language, text string
}

var fences = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?\n)```$")

// fencesOf returns the code blocks of the guide in the order of the page.
func fencesOf(chapters []string) (list []fence) {
	for _, name := range chapters {
		for _, m := range fences.FindAllStringSubmatch(string(docs.Read(name)), -1) {
			list = append(list, fence{name, m[1], m[2]})
		}
	}
	return list
}

// guideExample is a block of commands with the output that the guide prints below it.
type guideExample struct {
	fence
	json, lines string
}

func examplesOf(t *testing.T, list []fence) (examples []guideExample) {
	t.Helper()
	for _, f := range list {
		last := len(examples) - 1
		switch {
		case f.language == "sh":
			examples = append(examples, guideExample{fence: f})
		case last < 0 || examples[last].chapter != f.chapter:
			t.Errorf("%s has the block %q without commands before it", f.chapter, f.text)
		case f.language == "json":
			examples[last].json += f.text
		case f.language == "http", f.language == "text":
			examples[last].lines += f.text
		case f.language != "js":
			t.Errorf("%s has a block in %q, which no test runs", f.chapter, f.language)
		}
	}
	return examples
}

// SPEC R31: the commands of the guide work as printed, in the order of the page, and respond as printed.
func TestGuideWorksAsPrinted_R31(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.RateLimit = config.Limit{Count: 200, Period: time.Second}
	s := serveTest(t, cfg)
	admin := s.admin()
	for _, p := range inventory.Demo {
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		admin.want(http.StatusCreated, "POST", "/v1/products", string(body))
	}
	chapters := append([]string{}, docs.Chapters...)
	examples := examplesOf(t, fencesOf(without(chapters, "webhooks.md")))

	outputs := runShell(t, s, examples)

	for i, e := range examples {
		if err := matches(e, outputs[i]); err != nil {
			t.Errorf("%s: %v\n%s\nprinted\n%s", e.chapter, err, e.text, outputs[i])
		}
	}
}

func without(list []string, name string) (rest []string) {
	for _, s := range list {
		if s != name {
			rest = append(rest, s)
		}
	}
	return rest
}

// SPEC R31: the example in JavaScript follows an order.
func TestGuideFollowsInJavaScript_R31(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs Node.js")
	}
	s := serveTest(t, settings(t))
	ann := s.user("ann")
	s.admin().product("KETTLE", 1)
	for _, f := range fencesOf(docs.Chapters) {
		if f.language != "js" || f.chapter == "webhooks.md" {
			continue
		}
		script := filepath.Join(t.TempDir(), "follow.mjs")
		if err := os.WriteFile(script, []byte(strings.ReplaceAll(f.text, "http://localhost:3000", s.base)), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), node, script)
		cmd.Env = append(os.Environ(), "TOKEN="+ann.token)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(testwait.Limit, func() { _ = cmd.Process.Kill() })
		id := ann.order("KETTLE", 1)

		seen := ""
		for in := bufio.NewScanner(out); !strings.Contains(seen, "order.processing "+id) && in.Scan(); {
			seen += in.Text() + "\n"
		}

		if !strings.HasPrefix(seen, "order.created "+id) || !strings.Contains(seen, "order.processing "+id) {
			t.Errorf("%s printed %q", f.chapter, seen)
		}
		stop.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

var (
	pageIDs   = regexp.MustCompile(` id="([^"]+)"`)
	pageLinks = regexp.MustCompile(`<a href="([^"]+)"`)
)

// SPEC R30, R31: the type of every problem leads to the entry of its code, and no link of the page leads nowhere.
func TestGuideIsServed_R30(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	anyone := s.anonymous()
	ids := map[string]bool{}
	page := string(anyone.want(http.StatusOK, "GET", "/guide", "").raw)
	for _, m := range pageIDs.FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("two places of the page have the id %s", m[1])
		}
		ids[m[1]] = true
	}

	for _, c := range productCodes(t).Codes {
		if !strings.Contains(page, `<h3 id="`+c.Name+`">`+c.Name+`</h3>`) {
			t.Errorf("the page has no entry of %s", c.Name)
		}
	}
	for _, m := range pageLinks.FindAllStringSubmatch(page, -1) {
		switch target := m[1]; {
		case strings.HasPrefix(target, "https://"):
		case strings.HasPrefix(target, "#"):
			if !ids[target[1:]] {
				t.Errorf("the link %s leads nowhere", target)
			}
		default:
			anyone.want(http.StatusOK, "GET", target, "")
		}
	}
	problem := anyone.want(http.StatusNotFound, "GET", "/v1/nothing", "")
	if problem.text("type") != "/guide#not-found" {
		t.Errorf("the problem has the type %q", problem.text("type"))
	}
}

// SPEC R32: the guide and the reference list the test tokens and amounts of the simulated provider.
func TestTestTokensAreDocumented_R32(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	reference := string(s.anonymous().want(http.StatusOK, "GET", "/openapi.json", "").raw)
	var lines []string
	for _, token := range simulated.TestTokens() {
		amount := ""
		if token.Amount > 0 {
			amount = strconv.FormatInt(token.Amount, 10)
		}
		lines = append(lines, "| `"+token.Method+"` | "+amount+" | "+token.Effect+" |")
		if !strings.Contains(reference, token.Method) || !strings.Contains(reference, amount) {
			t.Errorf("the reference does not name %s and %s", token.Method, amount)
		}
	}
	golden.CheckTable(t, "../docs/guide/payments.md", "| `paymentMethod` | amount | effect |\n|---|---|---|\n", lines)
}
