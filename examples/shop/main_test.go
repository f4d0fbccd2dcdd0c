package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The shop is built and run as its user runs it: one command, in an empty folder, with a
// private database. Its module and its provider work beside everything of the product.
func TestShop(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.logIn(s.admin())

	if got := s.do("GET", "/v1/loyalty", "", ""); got.status != http.StatusUnauthorized {
		t.Errorf("without a token: %s", got)
	}
	if got := s.do("GET", "/v1/loyalty", admin, ""); got.status != http.StatusOK || got.text("points") != "0" {
		t.Errorf("before any order: %s", got)
	}

	order := s.want(http.StatusCreated, "POST", "/v1/orders", admin, `{"items":[{"sku":"VOUCHER-TASTING","quantity":1}]}`)
	s.until("the point", func() bool { return s.do("GET", "/v1/loyalty", admin, "").text("points") == "1" })
	s.until("the order to be paid", func() bool {
		return s.do("GET", "/v1/orders/"+order.text("id"), admin, "").text("status") == "PROCESSING"
	})
	if got := s.want(http.StatusOK, "GET", "/metrics", "", ""); !strings.Contains(string(got.raw), `orderflow_payment_breaker_open{provider="invoice"} 0`) {
		t.Error("another provider is asked")
	}

	key := s.want(http.StatusCreated, "POST", "/v1/api-keys", admin, `{"name":"till","scopes":["loyalty:read"]}`)
	s.want(http.StatusOK, "GET", "/v1/loyalty", key.text("secret"), "")
	s.want(http.StatusForbidden, "GET", "/v1/orders", key.text("secret"), "")
	document := s.want(http.StatusOK, "GET", "/openapi.json", "", "")
	for _, part := range []string{`"/v1/loyalty"`, `"get-loyalty"`, `"loyalty:read"`} {
		if !strings.Contains(string(document.raw), part) {
			t.Errorf("%s is not in /openapi.json", part)
		}
	}

	s.stop()
	out, err := s.command("verify").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "loyalty-orders") {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

// An order above the limit keeps its stock and waits for a person before its payment begins;
// all others go on.
func TestCreditLimit(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.logIn(s.admin())
	order := func(sku string) string {
		body := fmt.Sprintf(`{"items":[{"sku":%q,"quantity":1}]}`, sku)
		return "/v1/orders/" + s.want(http.StatusCreated, "POST", "/v1/orders", admin, body).text("id")
	}
	status := func(path, want string) func() bool {
		return func() bool { return s.do("GET", path, admin, "").text("status") == want }
	}

	small, large := order("GRINDER-HAND-01"), order("MACHINE-LEVER-PRO")
	s.until("the small order to be paid", status(small, "PROCESSING"))
	s.until("the large order to be held", status(large, "ON_HOLD"))

	held := s.do("GET", large, admin, "")
	if held.text("paymentStatus") != "NONE" || held.text("reason") != "credit-limit: The total is above the credit limit." {
		t.Errorf("on hold: %s", held)
	}
	s.want(http.StatusOK, "POST", large+"/steps/credit-limit/complete", admin, "")
	s.until("the large order to be paid", status(large, "PROCESSING"))
}

// A provider that does not exist is named with those that do.
func TestUnknownProvider(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary(t), "serve")
	cmd.Dir, cmd.Env = t.TempDir(), []string{"PATH=" + os.Getenv("PATH"), "PAYMENT_PROVIDER=cash"}

	out, err := cmd.CombinedOutput()

	if err == nil || !strings.Contains(string(out), "PAYMENT_PROVIDER: must be simulated, invoice or stripe") {
		t.Errorf("%v\n%s", err, out)
	}
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "shop-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "shop")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func binary(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMain removes the program that the tests built.
func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

const patience = 2 * time.Minute // the first start prepares a database

// shop is a running program.
type shop struct {
	t         *testing.T
	dir, base string
	out       *output
	stop      func()
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, dir: t.TempDir(), out: &output{}}
	cmd := s.command("serve")
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v:\n%s", err, s.out)
		}
	})
	t.Cleanup(s.stop)
	s.until("the welcome", func() bool { return strings.Contains(s.out.String(), "Log in") })
	s.base = apiAddress.FindStringSubmatch(s.out.String())[1]
	return s
}

func (s *shop) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary(s.t), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "BCRYPT_COST=4", "PAYMENT_PROVIDER=invoice", "PORT=0"}
	return cmd
}

// apiAddress finds the address of the API in the welcome: PORT=0 takes a free port.
var apiAddress = regexp.MustCompile(`API +(http://\S+)/v1`)

// admin is the address and the password that the welcome shows.
func (s *shop) admin() (email, password string) {
	s.t.Helper()
	found := regexp.MustCompile(`Log in +(\S+) / (\S+)`).FindStringSubmatch(s.out.String())
	if found == nil {
		s.t.Fatalf("it says\n%s", s.out)
	}
	return found[1], found[2]
}

func (s *shop) logIn(email, password string) (token string) {
	s.t.Helper()
	return s.want(http.StatusOK, "POST", "/v1/auth/login", "", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)).text("accessToken")
}

func (s *shop) until(what string, done func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain for %s:\n%s", what, s.out)
		}
	}
}

type answer struct {
	status int
	raw    []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.raw) }

// text is a member of the body.
func (a answer) text(name string) string {
	var body map[string]any
	_ = json.Unmarshal(a.raw, &body)
	return fmt.Sprint(body[name])
}

func (s *shop) want(status int, method, path, token, body string) answer {
	s.t.Helper()
	a := s.do(method, path, token, body)
	if a.status != status {
		s.t.Fatalf("%s %s: want %d, got %s", method, path, status, a)
	}
	return a
}

func (s *shop) do(method, path, token, body string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.out)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{res.StatusCode, raw}
}
