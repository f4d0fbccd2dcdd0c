// Package upgrade_test runs the version before the newest change of the schema beside the present
// one.
package upgrade_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/test/program"
)

const (
	adminEmail    = "root@upgrade.example"
	adminPassword = "a quiet blue morning" // of an account that lives for a minute
)

// SPEC G1, E3, A5, C3: nodes of the previous version work on the migrated schema, beside nodes of
// the present one, until they are replaced. The migration runs while they serve.
func TestPreviousVersionKeepsWorking_G1(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes about a minute")
	}
	s := newScene(t)

	s.previous.command(t, "migrate")
	oldAPI, oldWorker := s.previous.start(t, "api"), s.previous.start(t, "worker")
	s.logIn(t, oldAPI)
	s.work(t, "previous version alone", oldAPI, oldAPI)
	before := s.ordersOfBefore(t, oldAPI)

	orders := s.keepOrdering(t, oldAPI)
	s.present.command(t, "migrate")
	s.previous.command(t, "migrate") // as a node that is rolled back runs it
	orders.end(t)
	s.work(t, "previous version on the migrated schema", oldAPI, oldAPI)

	newAPI := s.present.start(t, "api")
	events, end := follow(t, s.root, oldAPI, func(turn int) *node { return []*node{oldAPI, newAPI}[turn%2] })
	defer end()
	s.work(t, "worker of the previous version", oldAPI, newAPI)
	s.work(t, "worker of the previous version, the other way", newAPI, oldAPI)

	newWorker := s.present.start(t, "worker")
	s.work(t, "workers of both versions", oldAPI, newAPI)
	before.goOn(t, s, newAPI, oldAPI)

	oldWorker.stop()
	oldWorker = s.previous.start(t, "worker") // a node of the previous version restarts on the migrated schema
	oldWorker.stop()
	s.work(t, "worker of the present version", newAPI, oldAPI)
	events.judge(t, newAPI)
	end()

	oldAPI.stop()
	s.work(t, "present version alone", newAPI, newAPI)
	newWorker.stop()
	newAPI.stop()
	s.present.command(t, "verify")
}

// scene is what all processes share: the database, Redis, the payment provider and a receiver of
// webhooks.
type scene struct {
	previous, present *version
	root              caller
	hooks             *receiver
	n                 int // for names
}

func newScene(t *testing.T) *scene {
	t.Helper()
	root, err := program.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	old := previousVersion(t, root, dir)
	binary := filepath.Join(dir, "present")
	if err := program.Build(t.Context(), binary); err != nil {
		t.Fatal(err)
	}

	db, err := embedded.Start(t.Context(), embedded.Options{Dir: filepath.Join(dir, "postgres"), NoSync: true, Settings: map[string]string{"fsync": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Crash() }) // the data are removed
	bank := httptest.NewServer(simulated.Handler(simulated.NewBank(simulated.Options{Remember: true})))
	t.Cleanup(bank.Close)

	hooks := receive(t)
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + os.TempDir(),
		"APP_ENV=production", "HOST=127.0.0.1", "LOG_LEVEL=warn",
		"DATABASE_URL=" + db.URL(), "DATABASE_MAX_CONNS=10", "REDIS_URL=" + pgtest.Redis(t), "PLAINTEXT_HOSTS=127.0.0.1",
		"JWT_KEYS=upgrade=" + secret(), "BCRYPT_COST=10", "ADMIN_EMAIL=" + adminEmail, "ADMIN_PASSWORD=" + adminPassword,
		"RATE_LIMIT=off", "ORDER_RATE_LIMIT=off", "LOGIN_RATE_LIMIT=off", "REGISTRATION_RATE_LIMIT=off",
		"PAYMENT_PROVIDER=simulated", "ALLOW_SIMULATED_PAYMENTS=on", "PAYMENT_TEST_TOKENS=on", "PAYMENT_SIMULATOR_URL=" + bank.URL, "WEBHOOK_ALLOWED_NETWORKS=127.0.0.1",
		"WEBHOOK_ALLOWED_PORTS=" + hooks.URL[strings.LastIndex(hooks.URL, ":")+1:],
		"SSL_CERT_FILE=" + hooks.certificate(t, dir),
	}
	return &scene{
		previous: &version{name: "previous", binary: old, dir: dir, env: env},
		present:  &version{name: "present", binary: binary, dir: dir, env: env},
		hooks:    hooks,
	}
}

// folder returns a temporary folder that the user of PostgreSQL can enter, which t.TempDir is not.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "orderflow-upgrade-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Log(err)
		}
	})
	return dir
}

// logIn logs the administrator in, who must first replace the password of the settings.
func (s *scene) logIn(t *testing.T, n *node) {
	t.Helper()
	initial := s.session(t, n, adminEmail, adminPassword)
	a := initial.want(t, n, http.StatusOK, "POST", "/v1/auth/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":"an otter in a teapot"}`, adminPassword))
	s.root = caller{a.text("accessToken")}
}

func (s *scene) name(what string) string {
	s.n++
	return fmt.Sprintf("%s-%d", what, s.n)
}

// product creates a product with a stock and returns its sku.
func (s *scene) product(t *testing.T, n *node, stock int) string {
	t.Helper()
	sku := s.name("SKU")
	s.root.want(t, n, http.StatusCreated, "POST", "/v1/products",
		fmt.Sprintf(`{"sku":%q,"name":"Thing","unitPrice":{"amount":1000,"currency":"EUR"},"stock":%d}`, sku, stock))
	return sku
}

// kept are orders that the previous version took to different positions before the migration.
type kept struct{ key, body, first, processing, held, shipped string }

func (s *scene) ordersOfBefore(t *testing.T, n *node) *kept {
	t.Helper()
	k := &kept{key: s.name("key"), body: items(s.product(t, n, 10), 1)}
	order := func(key string) string {
		id := s.root.want(t, n, http.StatusCreated, "POST", "/v1/orders", k.body, "Idempotency-Key: "+key).text("id")
		s.root.until(t, n, "/v1/orders/"+id, "status", "PROCESSING")
		return id
	}
	k.first, k.processing, k.held, k.shipped = order(k.key), order(s.name("key")), order(s.name("key")), order(s.name("key"))
	s.root.want(t, n, http.StatusOK, "POST", "/v1/orders/"+k.held+"/hold", `{"reason":"A check."}`)
	s.root.want(t, n, http.StatusOK, "PATCH", "/v1/orders/"+k.shipped+"/status", `{"status":"SHIPPED"}`)
	return k
}

// goOn continues the orders at both versions.
func (k *kept) goOn(t *testing.T, s *scene, first, second *node) {
	t.Helper()
	again := s.root.want(t, first, http.StatusCreated, "POST", "/v1/orders", k.body, "Idempotency-Key: "+k.key)
	if again.text("id") != k.first || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the key of before the migration is answered with %s", again)
	}
	s.root.want(t, first, http.StatusOK, "POST", "/v1/orders/"+k.held+"/release", "")
	s.root.want(t, second, http.StatusOK, "PATCH", "/v1/orders/"+k.held+"/status", `{"status":"SHIPPED"}`)
	s.root.until(t, first, "/v1/orders/"+k.held, "paymentStatus", "CAPTURED")
	s.root.want(t, second, http.StatusOK, "POST", "/v1/orders/"+k.processing+"/cancel", "")
	s.root.until(t, first, "/v1/orders/"+k.processing, "paymentStatus", "VOIDED")
	s.root.until(t, second, "/v1/orders/"+k.shipped, "paymentStatus", "CAPTURED")
	s.root.want(t, first, http.StatusCreated, "POST", "/v1/orders/"+k.shipped+"/refunds", `{"amount":{"amount":400,"currency":"EUR"},"reason":"A scratch."}`)
	s.root.until(t, second, "/v1/orders/"+k.shipped, "paymentStatus", "PARTIALLY_REFUNDED")
}

// ordering places orders at a node without a pause.
type ordering struct {
	stop   chan struct{}
	group  errgroup.Group
	placed []string
	s      *scene
	n      *node
}

// keepOrdering places orders until end. Each must be accepted; a client may be asked to repeat it.
func (s *scene) keepOrdering(t *testing.T, n *node) *ordering {
	t.Helper()
	o := &ordering{stop: make(chan struct{}), s: s, n: n}
	body := items(s.product(t, n, 1_000_000), 1)
	first := make(chan struct{})
	o.group.Go(func() error {
		for i := 0; ; i++ {
			select {
			case <-o.stop:
				return nil
			default:
			}
			a := s.root.send(t, n, "POST", "/v1/orders", body, fmt.Sprintf("Idempotency-Key: during-%d", len(o.placed)))
			switch {
			case a.status == http.StatusCreated:
				o.placed = append(o.placed, a.text("id"))
				if len(o.placed) == 1 {
					close(first)
				}
			case a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "":
				return fmt.Errorf("an order during the migration: %s", a)
			}
			pause(t.Context(), 5*time.Millisecond)
		}
	})
	testwait.For(t, "the first order during the migration", first)
	return o
}

func (o *ordering) end(t *testing.T) {
	t.Helper()
	close(o.stop)
	if err := o.group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d orders were placed during the migration", len(o.placed))
	for _, id := range o.placed {
		o.s.root.until(t, o.n, "/v1/orders/"+id, "status", "PROCESSING")
	}
}

func items(sku string, quantity int) string {
	return fmt.Sprintf(`{"items":[{"sku":%q,"quantity":%d}]}`, sku, quantity)
}

// receiver is an endpoint of webhooks.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got map[string]int // requests by the id of the message
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{got: map[string]int{}}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Webhook-Signature") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got[req.Header.Get("Webhook-Id")]++
	}))
	t.Cleanup(r.Close)
	return r
}

// certificate writes the certificate of the receiver to a file, which replaces the system's roots.
func (r *receiver) certificate(t *testing.T, dir string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "receiver.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (r *receiver) count(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[id]
}
