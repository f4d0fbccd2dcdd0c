package app

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// runCommand runs a command of the program, with its settings.
func runCommand(t *testing.T, p *program, out io.Writer, args ...string) error {
	t.Helper()
	return commandLine{name: productName, extensions: p.extensions, fixed: p}.execute(t.Context(), args, out)
}

// A container asks for its health every few seconds, so the probe constructs none of the
// modules. It is not parallel, because settings come from the environment.
func TestProbeConstructsNoModule(t *testing.T) {
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.Path }))
	defer server.Close()
	t.Chdir(t.TempDir()) // without an .env
	t.Setenv("PORT", must(url.Parse(server.URL)).Port())
	constructed := false
	module := WithModule(func(p *Platform) (Module, error) {
		constructed = true
		return newTallies(p)
	})

	err := Run(t.Context(), []string{"healthcheck"}, io.Discard, module)

	if err != nil || asked != "/readyz" || constructed {
		t.Errorf("it ended with %v, asked %q and constructed a module: %t", err, asked, constructed)
	}
}

// SPEC F2, A5: somebody who registers the address of ADMIN_EMAIL before there is an administrator stops
// no start and gets no rights; the operator takes the address, and what the account opened ends.
func TestAddressOfTheAdministratorIsTaken_F2(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.AdminEmail = ""
	first := serveTest(t, cfg)
	first.anonymous().want(201, "POST", "/v1/auth/register", fmt.Sprintf(`{"email":%q,"password":%q}`, adminEmail, userPassword))
	first.stop()
	cfg.AdminEmail = adminEmail

	log := &syncbuf.Buffer{}
	s := serveLogging(t, cfg, slog.New(slog.NewJSONHandler(log, nil)))

	if got := log.String(); !strings.Contains(got, "admin create --take-over") || strings.Contains(got, adminEmail) {
		t.Errorf("the log is %s", got)
	}
	stranger := s.logIn(adminEmail, userPassword)
	stranger.want(403, "GET", "/v1/users", "")
	_, machine := stranger.key("orders:read")
	hook := stranger.want(201, "POST", "/v1/webhooks", `{"url":"https://127.0.0.1:9443/","types":["order.created"]}`).text("id")

	program, err := newProgram(&cfg, extensions{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = runCommand(t, program, &out, "admin", "create")
	if err == nil || !strings.Contains(err.Error(), "--take-over") {
		t.Errorf("without the flag: %v", err)
	}
	stranger.want(200, "GET", "/v1/orders", "")
	if err := runCommand(t, program, &out, "admin", "create", "--take-over"); err != nil {
		t.Fatal(err)
	}

	for _, c := range []*client{stranger, machine} {
		testwait.Until(t, "the end of what the stranger opened", func() bool { return c.send("GET", "/v1/orders", "").status == 401 })
	}
	root := s.admin()
	gone := root.want(200, "GET", "/v1/audit?action=user.deleted", "")
	id := gone.text("data.0.subject.id")
	if gone.text("data.0.actor.type") != "command" || root.want(200, "GET", "/v1/audit?action=user.created", "").text("data.0.actor.type") != "command" {
		t.Errorf("the trail is %s", gone)
	}
	if hooks := root.want(200, "GET", "/v1/users/"+id+"/webhooks", ""); hooks.text("data.0.id") != hook || hooks.text("data.0.disabledReason") != "account" {
		t.Errorf("the webhooks are %s", hooks)
	}
	err = runCommand(t, program, &out, "admin", "create", "--take-over")
	if err == nil || !strings.Contains(err.Error(), "administrator") {
		t.Errorf("from an administrator: %v", err)
	}
}
