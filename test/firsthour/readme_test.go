package firsthour_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

var fence = regexp.MustCompile("(?s)\n```(\\w*)\n(.*?\n)```\n")

// blocks returns the fenced blocks of a document in a language.
func blocks(t *testing.T, path, language string) (list []string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fence.FindAllStringSubmatch(string(raw), -1) {
		if m[1] == language {
			list = append(list, m[2])
		}
	}
	return list
}

// shell starts lines of a document in a shell of its own. The server is at another address than
// the document says, and has been compiled already; nothing else is changed.
func (s *server) shell(t *testing.T, lines string) (out *syncbuf.Buffer, exited <-chan error, stop func()) {
	t.Helper()
	lines = strings.NewReplacer("localhost:3000", s.address, "go run ./cmd/orderflow listen", s.binary+" listen --server="+s.base).Replace(lines)
	cmd := exec.Command("sh", "-eu")
	out = &syncbuf.Buffer{}
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.dir, strings.NewReader(lines), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- cmd.Wait()
		close(done)
	}()
	stop = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = testwait.For(t, "the end of the shell", done)
	}
	t.Cleanup(stop)
	return out, done, stop
}

var eventForm = regexp.MustCompile(`"id":"[^"]+/\d+","source":"/v1/orders","type":"([a-z._]+)"`)

// typesIn returns the types of the events in an event stream.
func typesIn(text string) (types []string) {
	for _, m := range eventForm.FindAllStringSubmatch(text, -1) {
		types = append(types, m[1])
	}
	return types
}

// SPEC G12: the commands of the README lead from nothing to a shipped, captured and refunded order and
// to a declined one, and another terminal shows each event as it happens.
func TestReadme(t *testing.T) {
	t.Parallel()
	need(t, "sh", "curl", "sed")
	list := blocks(t, filepath.Join(root(t), "README.md"), "sh")
	if len(list) != 4 || !strings.Contains(list[0], "go run ./cmd/orderflow ") || !strings.Contains(list[1], "/events/stream") ||
		!strings.Contains(list[2], "/refunds") || !strings.Contains(list[3], " listen ") {
		t.Fatalf("the README has other commands than this test runs: %q", list)
	}
	s := launch(t)
	if out := s.out.String(); !regexp.MustCompile(`Log in +admin@orderflow\.local / [A-Z0-9]{20,}`).MatchString(out) {
		t.Errorf("the server does not print how the administrator logs in:\n%s", out)
	}

	watching, _, _ := s.shell(t, list[1])
	testwait.Until(t, "the second terminal is live", func() bool { return strings.Contains(watching.String(), "event: ready") })
	ordered, done, _ := s.shell(t, list[2])
	if err := testwait.For(t, "the third terminal", done); err != nil {
		t.Fatalf("%v\n%s", err, ordered)
	}

	if s.refundedAndDeclined(t, ordered.String()); t.Failed() {
		return // the events that follow would be waited for in vain
	}
	want := []string{
		"order.created", "stock.reserved", "payment.authorized", "order.confirmed", "order.processing", "order.shipped", "payment.captured",
		"order.completed", "payment.refund_requested", "payment.refunded", // the first order
		"order.created", "stock.reserved", "payment.declined", "order.failed", "stock.released",
	}
	testwait.Until(t, "the second terminal shows all events", func() bool { return len(typesIn(watching.String())) >= len(want) })
	if got := typesIn(watching.String()); !sameEvents(got, want) {
		t.Errorf("the second terminal shows\n%v, want\n%v", got, want)
	}
	s.listens(t, list[3], list[2])
}

// sameEvents compares two lists; two events of one transaction may change places.
func sameEvents(got, want []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) && got[0] == want[0]
}

var statusForm = regexp.MustCompile(`"status":"([A-Z]+)","paymentStatus":"([A-Z]+)"`)

// refundedAndDeclined checks the orders that the commands have printed last.
func (s *server) refundedAndDeclined(t *testing.T, printed string) {
	t.Helper()
	for what, form := range map[string]string{
		"the refunded order": `"status":"COMPLETED","paymentStatus":"REFUNDED".*"captured":\{"amount":8900,"currency":"EUR"\},"refunded":\{"amount":8900,"currency":"EUR"\}.*"tracking":"1Z999AA10123456784"`,
		"the declined order": `"status":"FAILED".*"captured":\{"amount":0,"currency":"EUR"\}.*"failure":\{"code":"payment-declined","detail":"[^"]*insufficient-funds`,
	} {
		if !regexp.MustCompile(form).MatchString(printed) {
			t.Errorf("%s is not in\n%s", what, printed)
		}
	}
	if last := statusForm.FindAllStringSubmatch(printed, -1); len(last) == 0 || last[len(last)-1][1] != "FAILED" {
		t.Errorf("the last order is %v", last)
	}
	if strings.Contains(printed, `"code":"malformed"`) || strings.Contains(printed, `"requestId"`) {
		t.Errorf("a request was refused:\n%s", printed)
	}
}

// listens checks that events are forwarded by the last command.
func (s *server) listens(t *testing.T, command, walk string) {
	t.Helper()
	port := testport.For(t)
	signed := make(chan string, 100)
	receiver := &http.Server{Addr: port.Address(), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { signed <- r.Header.Get("Webhook-Signature") })}
	go func() { _ = receiver.ListenAndServe() }()
	t.Cleanup(func() { _ = receiver.Close() })
	out, _, stop := s.shell(t, strings.ReplaceAll(command, "localhost:4000", port.Address()))
	testwait.Until(t, "the listener is live", func() bool { return strings.Contains(out.String(), "istening") })

	_, order, _ := strings.Cut(walk, "\nO=$(")
	order, _, _ = strings.Cut("O=$("+order, "\n")
	setup, _, _ := strings.Cut(walk, "\n\n")
	again, done, _ := s.shell(t, setup+"\n"+strings.ReplaceAll(order, "my-first", "my-third"))
	if err := testwait.For(t, "another order", done); err != nil {
		t.Fatalf("%v\n%s", err, again)
	}

	if signature := testwait.For(t, "a forwarded event", signed); !strings.HasPrefix(signature, "v1,") {
		t.Errorf("the signature is %q", signature)
	}
	stop()
}
