package webhooks

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// names is a small name server. What it is asked for it looks up in answers, and each
// further question for a name gets the next answer; the last one stays. Without any it
// is silent.
type names struct {
	mu      sync.Mutex
	answers map[string][]string
	asked   map[string]int
}

func serveNames(t *testing.T, answers map[string][]string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	n := &names{answers: answers, asked: map[string]int{}}
	go func() {
		buf := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if raw := n.answer(buf[:size]); raw != nil {
				_, _ = conn.WriteTo(raw, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (n *names) answer(raw []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(raw) != nil || len(m.Questions) != 1 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.answers == nil {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	list, known := n.answers[name]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	if known && q.Type == dnsmessage.TypeA {
		at := min(n.asked[name], len(list)-1)
		n.asked[name]++
		for ip := range strings.FieldsSeq(list[at]) {
			if addr := netip.MustParseAddr(ip); addr.Is4() {
				m.Answers = append(m.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: addr.As4()},
				})
			}
		}
	}
	if known && q.Type == dnsmessage.TypeAAAA {
		for ip := range strings.FieldsSeq(list[0]) {
			if addr := netip.MustParseAddr(ip); addr.Is6() {
				m.Answers = append(m.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AAAAResource{AAAA: addr.As16()},
				})
			}
		}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

const public = "93.184.215.14"

// SPEC E8: only the ports that the operator allows, also when a URL that was saved before is used.
func TestPorts_E8(t *testing.T) {
	t.Parallel()
	a := newAddresses(true, nil, []uint16{443, 8443}, nil)
	for url, want := range map[string]bool{
		"https://example.com": true, "https://example.com:443/": true, "https://example.com:8443/": true,
		"https://example.com:6379/": false, "https://example.com:80/": false, "http://example.com/": false, "https://example.com:/": false, "https://example.com:65979": false,
	} {
		_, wrong := a.parse(url)
		if (wrong == "") != want {
			t.Errorf("%s: %q", url, wrong)
		}
		if !want {
			o := newSender(a, "", noop.NewTracerProvider()).post(t.Context(), request{url: url})
			if !strings.Contains(o.problem, "port") || o.status != 0 {
				t.Errorf("%s: %+v", url, o)
			}
		}
	}
}

// SPEC E8: what is not a public https address is refused when it is saved.
func TestRefusedAddresses(t *testing.T) {
	t.Parallel()
	resolver := serveNames(t, map[string][]string{
		"hooks.example.com": {public}, "v6.example.com": {"2606:2800:21f:cb07:6820:80da:af6b:8b2c"}, "inside.example.com": {"10.0.0.7"},
		"mixed.example.com": {public + " 192.168.1.1"}, "mapped.example.com": {"::ffff:10.0.0.1"}, "meta.example.com": {"169.254.169.254"},
		"printer.local": {public}, "intranet": {public}, "db.internal": {public}, "xn--shp-sna.example.com": {public}, "none.example.com": {""},
	})
	strict := newAddresses(false, nil, nil, resolver)
	for _, url := range []string{
		"https://hooks.example.com", "https://hooks.example.com/in?a=b", "https://hooks.example.com:8443/", "https://HOOKS.example.com",
		"https://v6.example.com/", "https://" + public + "/", "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:443/x", "https://xn--shp-sna.example.com",
	} {
		if err := strict.validate(t.Context(), url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}

	bad := []string{
		"", "hooks.example.com", "//hooks.example.com", "https:hooks.example.com", "https:///x", "ftp://hooks.example.com", "file:///etc/passwd",
		"http://hooks.example.com", "https://user@hooks.example.com", "https://u:p@hooks.example.com", "https://hooks.example.com#x", "https://hooks.example.com#",
		"https://hooks.example.com:22", "https://hooks.example.com:0", "https://hooks.example.com:99999", "https://hooks.example.com:", "https://hooks.example.com:25/",
		"https://hooks.example.com./", "https://hooks..example.com", "https://shöp.example.com", "https://hooks.example.com/ä", "https://hooks.example.com/\x00",
		"https://hooks.example.com /", "https://hooks.example.com\\@10.0.0.1/", "https://hooks%2eexample.com", "https://inside.example.com", "https://mixed.example.com",
		"https://mapped.example.com", "https://meta.example.com", "https://unknown.example.com", "https://none.example.com",
		"https://localhost", "https://LOCALHOST:8443", "https://a.localhost", "https://printer.local", "https://intranet", "https://db.internal",
		"https://localhost.", "https://127.0.0.1.", "https://127.0.0.1", "https://127.1", "https://2130706433", "https://0x7f000001", "https://0x7f.1", "https://0177.0.0.1",
		"https://017700000001", "https://0", "https://127.0.0.1.nip.0x7f", "https://10.1.2.3", "https://172.16.0.1", "https://192.168.0.1", "https://100.64.0.1",
		"https://169.254.169.254/latest/meta-data", "https://168.63.129.16", "https://199.36.153.5", "https://199.36.153.9", "https://161.26.0.10", "https://166.9.1.2", "https://[::ffff:168.63.129.16]", "https://224.0.0.1", "https://255.255.255.255", "https://0.0.0.0", "https://240.0.0.1", "https://192.0.2.1", "https://198.18.0.1",
		"https://[::]", "https://[::1]", "https://[::ffff:127.0.0.1]", "https://[::ffff:7f00:1]", "https://[::127.0.0.1]", "https://[fe80::1]", "https://[fe80::1%25eth0]", "https://[fd00:ec2::254]",
		"https://[fc00::1]", "https://[ff02::1]", "https://[2002:7f00:1::]", "https://[2002:a00:1::1]", "https://[64:ff9b::7f00:1]", "https://[64:ff9b:1::a00:1]", "https://[2001::1]", "https://[2001:db8::1]",
		"https://" + strings.Repeat("a", 2000) + ".example.com",
	}
	for _, url := range bad {
		err := strict.validate(t.Context(), url)
		f, ok := fault.As(err)
		if !ok || f.Kind != fault.KindInvalid || f.Fields[0].Pointer != "/url" {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A network that is opened is open, under its names as well; nothing else is.
func TestAllowedNetworks(t *testing.T) {
	t.Parallel()
	resolver := serveNames(t, map[string][]string{"receiver": {"10.7.0.9"}, "other": {"10.8.0.9"}, "in.example.com": {"10.7.1.1"}, "both.example.com": {"10.7.1.1 10.8.1.1"}})
	for _, plaintext := range []bool{false, true} {
		a := newAddresses(plaintext, []netip.Prefix{netip.MustParsePrefix("10.7.0.0/16"), netip.MustParsePrefix("fd07::/16")}, nil, resolver)
		for url, want := range map[string]bool{
			"https://receiver:8443": true, "https://10.7.1.2": true, "https://[fd07::1]": true, "https://in.example.com": true, "https://[::ffff:10.7.0.1]": true,
			"https://other": false, "https://10.8.0.1": false, "https://[fd08::1]": false, "https://both.example.com": false, "https://127.0.0.1": false,
			"http://receiver:8443": plaintext,
		} {
			if err := a.validate(t.Context(), url); (err == nil) != want {
				t.Errorf("%s: %v", url, err)
			}
		}
	}
}

// A name server that is away is not the caller's fault.
func TestNameServerAway(t *testing.T) {
	t.Parallel()
	resolver := serveNames(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()

	err := newAddresses(false, nil, nil, resolver).validate(ctx, "https://hooks.example.com")

	if f, ok := fault.As(err); !ok || f.Kind != fault.KindUnavailable || f.RetryAfter == 0 {
		t.Errorf("%v", err)
	}
}

// SPEC E8: a name that was public when it was saved, and leads inside when it is
// dialled, gets nothing. The listener there is open to everything but us.
func TestRebinding(t *testing.T) {
	t.Parallel()
	h := setup(t)
	inside := receive(t, nil)
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	resolver := serveNames(t, map[string][]string{"evil.example.com": {public, "127.0.0.1"}})
	n := h.node(func(m *Module) {
		m.addresses = newAddresses(true, nil, nil, resolver)
		m.sender = newSender(m.addresses, "test", m.tracers)
		m.policy.waits = []time.Duration{time.Hour}
	})
	id, _ := n.hook(h.alice, "http://evil.example.com:"+port+"/", "")

	n.happens(h.alice, uuid.New(), "order.created")

	var a answer
	until(t, "a try", func() bool {
		a = n.ask(h.alice, "GET /v1/webhooks/"+id+"/deliveries/1", "")
		return a.num("tries") == 1
	})
	try := a.body["attempts"].([]any)[0].(map[string]any)
	if try["error"] != errRefused.Error() || try["statusCode"] != nil {
		t.Errorf("%s", a.raw)
	}
	if test := n.want(200, h.alice, "POST /v1/webhooks/"+id+"/test", ""); test.body["delivered"] != false || test.text("error") != errRefused.Error() {
		t.Errorf("%s", test.raw)
	}
	inside.quiet()
}

// The dialled address is checked on every path to it.
func TestDialledAddresses(t *testing.T) {
	t.Parallel()
	a := newAddresses(true, []netip.Prefix{netip.MustParsePrefix("10.7.0.0/16")}, nil, nil)
	for address, want := range map[string]bool{
		public + ":443": true, "10.7.0.1:8080": true, "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:443": true,
		"127.0.0.1:443": false, "10.8.0.1:443": false, "169.254.169.254:80": false, "[::1]:80": false, "[fe80::1%eth0]:80": false, "[::ffff:127.0.0.1]:80": false,
		"[fd00:ec2::254]:80": false, "168.63.129.16:80": false, "[::ffff:168.63.129.16]:80": false, "199.36.153.5:443": false, "localhost:80": false, "": false, "/var/run/x.sock": false,
	} {
		for network, ip := range map[string]bool{"tcp4": true, "tcp6": true, "unix": false, "udp4": false} {
			if err := a.control(network, address, nil); (err == nil) != (want && ip) {
				t.Errorf("%s %s: %v", network, address, err)
			}
		}
	}
}

// No proxy of the environment stands between, which would dial for us.
func TestNoProxy(t *testing.T) {
	t.Parallel()
	s := newSender(newAddresses(true, nil, nil, nil), "", nil)
	if s.client.Transport.(*http.Transport).Proxy != nil || s.agent != "Orderflow/dev" {
		t.Errorf("%+v", s.client.Transport)
	}
}

// What a stranger answers is read up to a bound: a stream without end is an answer.
func TestEndlessAnswer(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	leave := make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	endless := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := binary.AppendUvarint(make([]byte, 0, 8<<10), 7)[:8<<10]
		for {
			if _, err := w.Write(chunk); err != nil {
				close(leave)
				return
			}
		}
	})}
	go func() { _ = endless.Serve(listener) }()
	defer endless.Close()
	id, _ := n.hook(h.alice, "http://"+listener.Addr().String(), "")

	a := n.want(200, h.alice, "POST /v1/webhooks/"+id+"/test", "")

	if a.body["delivered"] != true || len(a.text("answer")) > 4*keepAnswer || a.num("durationMs") > 3000 {
		t.Errorf("%d bytes of it are kept, after %d ms", len(a.raw), a.num("durationMs"))
	}
	<-leave // the connection was closed on it
}

// An untrusted certificate is a failure, and the error names it.
func TestCertificates(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	defer s.Close()
	id, _ := n.hook(h.alice, s.URL, "")

	a := n.want(200, h.alice, "POST /v1/webhooks/"+id+"/test", "")

	if a.body["delivered"] != false || !strings.Contains(a.text("error"), "certificate") {
		t.Errorf("%s", a.raw)
	}
}

// An accepted URL has the same meaning for every parser: https, a name or an address in
// full, and the same host to the client that will dial it.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{
		"https://hooks.example.com:8443/in?a=b", "https://93.184.215.14/", "https://[2606:2800::1]:443/", "https://a@b", "https://0x7f.1/", "https://1.2.3", "https:\\\\x.com",
		"https://x.com\\@y.com/", "https://x.com%2f@y.com", "https://[::1%25lo]/", "https://x.com:80:90", "HTTPS://X.com", "https://x.com./",
	} {
		f.Add(seed)
	}
	a := newAddresses(false, nil, nil, nil)
	f.Fuzz(func(t *testing.T, raw string) {
		u, wrong := a.parse(raw)
		if wrong != "" {
			return
		}
		host := u.Hostname()
		_, err := netip.ParseAddr(host)
		last := host[strings.LastIndex(host, ".")+1:]
		if err != nil && (last == "" || last[0] >= '0' && last[0] <= '9') || u.Scheme != "https" || u.User != nil || host == "" {
			t.Fatalf("%q is accepted", raw)
		}
		req, err := http.NewRequest(http.MethodPost, raw, nil)
		if err != nil || req.URL.Hostname() != host || req.URL.Host != u.Host || strings.ContainsAny(host, "/\\@?# \t\r\n") {
			t.Fatalf("%q is %q to the client, %v", raw, req.URL.Host, err)
		}
	})
}
