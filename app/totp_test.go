package app

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// authenticator is the second factor of a person.
type authenticator struct {
	t        *testing.T
	secret   string
	recovery []string
}

// enrols sets up a second factor for the client's account.
func (c *client) enrols() *authenticator {
	c.t.Helper()
	a := &authenticator{t: c.t, secret: c.want(200, "POST", "/v1/auth/totp", "").text("secret")}
	activated := c.want(200, "POST", "/v1/auth/totp/activate", fmt.Sprintf(`{"code":%q}`, a.code(0)))
	for i := range 10 {
		a.recovery = append(a.recovery, activated.text(fmt.Sprint("recoveryCodes.", i)))
	}
	return a
}

func (a *authenticator) code(steps int) string {
	a.t.Helper()
	code, err := totp.GenerateCode(a.secret, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		a.t.Fatal(err)
	}
	return code
}

// wrong is a code of none of the steps around the present one.
func (a *authenticator) wrong() string {
	for n := 0; ; n++ {
		code, near := fmt.Sprintf("%06d", n), false
		for steps := -20; steps <= 20; steps++ { // so that it is still wrong when a slow test ends
			near = near || a.code(steps) == code
		}
		if !near {
			return code
		}
	}
}

// triesCode logs in from an address with the right password.
func (s *server) triesCode(from, email, code string) answer {
	s.t.Helper()
	return s.anonymous().send("POST", "/v1/auth/login", fmt.Sprintf(`{"email":%q,"password":%q,"code":%q}`, email, userPassword, code), "X-Forwarded-For: "+from)
}

// SPEC A6, A13; ASVS 5.0 6.3.1: someone who knows a password guesses at the code as often as others at
// the password, exactly, over all nodes, from one address and from many. Those without attempts get
// the same answer whether their code is right, except for the owner.
func TestCodesAreGuessedAsSeldomAsPasswords_A13(t *testing.T) {
	t.Parallel()
	nodes, _ := guarded(t)
	together(t, nodes, func(t *testing.T, n int) string {
		for name, from := range map[string]func(i int) string{
			"one":  func(int) string { return fmt.Sprint("192.0.2.", n) },
			"many": func(i int) string { return fmt.Sprintf("10.7.%d.%d", n, i) },
		} {
			ann := nodes[0].user(fmt.Sprint("ann-", name, n))
			factor := ann.enrols()
			wrong := factor.wrong()
			answers := make([]answer, 6*allowed)
			var all sync.WaitGroup
			for i := range answers {
				all.Go(func() { answers[i] = nodes[i%2].triesCode(from(i+1), ann.email, wrong) })
			}
			all.Wait()

			compared := 0
			for _, a := range answers {
				if a.is(401, "invalid-code") {
					compared++
				} else {
					a.refused(t, name)
				}
			}
			if compared != allowed {
				return fmt.Sprintf("from %s: %d codes were compared, want %d", name, compared, allowed)
			}
			if name == "many" {
				nodes[1].triesCode("10.9.0.1", ann.email, wrong).refused(t, "the one attempt of another address")
				nodes[0].triesCode("10.9.0.1", ann.email, factor.recovery[0]).refused(t, "a right code from there")
				if a := nodes[1].triesCode("10.9.0.2", ann.email, factor.recovery[0]); a.status != 200 {
					return "the owner, elsewhere: " + a.String()
				}
				if a := nodes[1].triesCode("127.0.0.1", ann.email, factor.recovery[1]); a.status != 200 {
					return "the owner, where a session is: " + a.String()
				}
			}
		}
		return ""
	})
}

// SPEC A13: with ADMIN_TOTP=required the first administrator sets up a factor and can then work; a user
// who is promoted must do the same, with API keys as well; another administrator resets a factor, and
// a command that of the last one.
func TestRequiredSecondFactor_A13(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.AdminTOTP = "required"
	nodes := []*server{serveTest(t, cfg), serveTest(t, cfg)}
	on := func(s *server, c *client) *client { return &client{server: s, email: c.email, token: c.token} }
	restricted := func(c *client) {
		t.Helper()
		for _, s := range nodes {
			testwait.Until(t, "the restriction", func() bool { return on(s, c).send("GET", "/v1/orders", "").is(403, "totp-enrolment-required") })
		}
	}
	free := func(c *client) {
		t.Helper()
		for _, s := range nodes {
			testwait.Until(t, "the end of the restriction", func() bool { return on(s, c).send("GET", "/v1/orders", "").status == 200 })
		}
	}

	root := nodes[0].admin()
	restricted(root)
	root.want(200, "GET", "/v1/users/me", "")
	if a := root.want(403, "GET", "/v1/users", ""); !a.is(403, "totp-enrolment-required") || !strings.Contains(a.text("detail"), "POST /v1/auth/totp") {
		t.Errorf("%s", a)
	}
	root.enrols()
	free(root)

	ann := nodes[1].user("ann")
	id := ann.want(200, "GET", "/v1/users/me", "").text("id")
	_, machine := ann.key("orders:read")
	free(ann)
	free(machine)
	root.want(200, "PATCH", "/v1/users/"+id, `{"role":"admin"}`)
	restricted(ann)
	restricted(machine)
	hers := ann.enrols()
	free(ann)
	free(machine)
	root.want(204, "DELETE", "/v1/users/"+id+"/totp", "")
	for _, s := range nodes {
		testwait.Until(t, "the end of her session", func() bool { return on(s, ann).send("GET", "/v1/orders", "").status == 401 })
	}
	restricted(machine)
	again := nodes[0].logIn(ann.email, userPassword)
	restricted(again)
	root.want(401, "POST", "/v1/auth/login", fmt.Sprintf(`{"email":%q,"password":%q,"code":%q}`, adminEmail, adminPassword, hers.recovery[0]))
	again.want(204, "POST", "/v1/auth/logout", "")
	root.want(200, "PATCH", "/v1/users/"+id, `{"role":"user"}`)
	free(machine)

	program, err := newProgram(&cfg, extensions{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for args, want := range map[string]string{"": "--email is missing", "--email=nobody@example.com": "there is no account", "--email=" + ann.email: "has no second factor"} {
		if err := runCommand(t, program, &out, append([]string{"admin", "reset-totp"}, strings.Fields(args)...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("reset-totp %s: %v", args, err)
		}
	}
	if err := runCommand(t, program, &out, "admin", "reset-totp", "--email="+adminEmail); err != nil || !strings.Contains(out.String(), "Removed the second factor of "+adminEmail) {
		t.Fatalf("%v %s", err, out.String())
	}
	for _, s := range nodes {
		testwait.Until(t, "the end of the session", func() bool { return on(s, root).send("GET", "/v1/orders", "").status == 401 })
	}
	root = nodes[0].admin()
	restricted(root)
	factor := root.enrols()
	free(root)
	reset := root.want(200, "GET", "/v1/audit?action=totp.reset", "")
	if reset.text("data.0.actor.type") != "command" || reset.text("data.1.actor.type") != "admin" {
		t.Errorf("%s", reset)
	}
	nodes[1].anonymous().want(200, "POST", "/v1/auth/login", fmt.Sprintf(`{"email":%q,"password":%q,"code":%q}`, adminEmail, adminPassword, factor.code(1)))
}
