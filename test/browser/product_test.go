package browser_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/test/browser/pagetest"
	"github.com/orderflow-dev/orderflow/test/program"
)

// product is the program under test.
var product program.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	product.Remove()
	os.Exit(code)
}

// launch starts the product as its user does, alone in a folder, with a private PostgreSQL and
// the demo products. It ends with the test.
func launch(t *testing.T, env ...string) (base string) {
	t.Helper()
	n := newNode(t, env...)
	n.start()
	return n.base
}

// node is a process of the product, which can be started again at the same address.
type node struct {
	t       *testing.T
	binary  string
	dir     string
	env     []string
	base    string
	out     *syncbuf.Buffer
	process *os.Process
	exited  chan error
}

// newNode returns a node that has not been started. It ends with the test.
func newNode(t *testing.T, env ...string) *node {
	t.Helper()
	binary, err := product.Path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	port := testport.For(t)
	n := &node{t: t, binary: binary, dir: t.TempDir(), base: "http://" + port.Address(), out: &syncbuf.Buffer{}}
	n.env = append([]string{"PATH=" + os.Getenv("PATH"), "PORT=" + port.String(), "HOST=127.0.0.1", "BCRYPT_COST=4"}, env...)
	t.Cleanup(func() { n.stop() })
	return n
}

// start returns when the node is ready.
func (n *node) start() {
	n.t.Helper()
	cmd := exec.Command(n.binary)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = n.dir, n.env, n.out, n.out
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	n.process, n.exited = cmd.Process, exited
	testwait.Until(n.t, "readiness", func() bool {
		if len(exited) > 0 {
			n.process = nil
			n.t.Fatalf("%v; its output:\n%s", <-exited, n.out)
		}
		res, err := client.Get(n.base + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// stop ends the node as its user does. It does nothing if the node does not run.
func (n *node) stop() {
	n.t.Helper()
	if n.process == nil {
		return
	}
	_ = n.process.Signal(syscall.SIGINT)
	if err := testwait.For(n.t, "the end of the process", n.exited); err != nil {
		n.t.Errorf("%v; its output:\n%s", err, n.out)
	}
	n.process = nil
}

// kill ends the node at once.
func (n *node) kill() {
	n.t.Helper()
	_ = n.process.Kill()
	_ = testwait.For(n.t, "the end of the process", n.exited)
	n.process = nil
}

// client has a deadline, so that a server that hangs fails the test.
var client = &http.Client{Timeout: 10 * time.Second}

// register creates the account that the tests log in with.
func register(t *testing.T, base string) {
	t.Helper()
	body := fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
	res, err := client.Post(base+"/v1/auth/register", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("register: %s", res.Status)
	}
}

// The page at /try, in a real browser against the real product.
func TestTryPage(t *testing.T) {
	t.Parallel()
	ctx := pagetest.Browser(t)
	base := launch(t)
	register(t, base)

	pagetest.TryFlow(t, ctx, base, email, password)
}

// SPEC A9: without a mail server, /try shows the messages of development, with which an address is
// confirmed.
func TestTryShowsMessages_A9(t *testing.T) {
	t.Parallel()
	ctx := pagetest.Browser(t)
	base := launch(t, "EMAIL_VERIFICATION=required")

	do(t, ctx,
		chromedp.Navigate(base+"/try"),
		chromedp.WaitVisible(chromedp.CSS("#no-mail")),
		chromedp.Click(chromedp.CSS(`.switch input[value="register"]`)),
		chromedp.SendKeys(chromedp.CSS("#email"), email),
		chromedp.SendKeys(chromedp.CSS("#password"), password),
		chromedp.Click(chromedp.CSS("#enter")),
		chromedp.WaitVisible(chromedp.CSS("#shop")),
		chromedp.WaitVisible(chromedp.CSS("#mails .mail button:enabled")))
	shoot(t, ctx, "", "messages")
	do(t, ctx, chromedp.Click(chromedp.CSS("#mails .mail button")))
	pagetest.WaitState(t, ctx, "live")
	order := pagetest.Place(t, ctx, 1)
	pagetest.WaitStatus(t, ctx, order, "PROCESSING")
	shoot(t, ctx, "", "confirmed")
}
