package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// A1, F3; ASVS 5.0 V14.2, V16.2.5; API2:2023, API8:2023: no credential is seen
// where it does not belong. Every test of this package proves it without knowing: what
// it sends and is given as a password, a token, a key or a ticket is a canary, and when
// it ends, all that its nodes have logged, answered, measured, pushed and stored is
// searched for them, for any other token, for hashes, and for addresses of people.

// watch is what was seen of the nodes on one database.
type watch struct {
	mu      sync.Mutex
	secrets map[string]string // by any of its forms, what it is
	seen    []sighting
}

type sighting struct{ where, text string }

// watched are the watches of now: by a database's URL and by a node's host:port.
var watched sync.Map

// strays is what was logged past a node's own logger.
var strays = &watch{}

// keepWatch begins one for a configuration, and ends it with the test, when the nodes
// have stopped and the database is still there.
func keepWatch(t *testing.T, cfg *config.Config) {
	t.Helper()
	w := &watch{}
	watched.Store(cfg.DatabaseURL.Reveal(), w)
	w.password(cfg.AdminPassword.Reveal())
	w.password(userPassword)
	t.Cleanup(func() {
		if err := w.database(context.WithoutCancel(t.Context()), cfg.DatabaseURL.Reveal()); err != nil {
			t.Errorf("look for canaries: %v", err)
		}
		for _, found := range w.search() {
			t.Errorf("a leak: %s", found)
		}
		w.seen = nil // the nodes have ended
	})
}

// watchOf returns the observer for that name, or nil.
func watchOf(name string) *watch {
	w, _ := watched.Load(name)
	found, _ := w.(*watch)
	return found
}

func (w *watch) see(where, text string) {
	if w == nil || text == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, sighting{where, text})
}

// Write makes a watch the end of a log.
func (w *watch) Write(line []byte) (int, error) {
	w.see("log", string(line))
	return len(line), nil
}

// log adds the watch's ears to a logger, for the finest level.
func (w *watch) log(log *slog.Logger) *slog.Logger {
	if w == nil {
		return log
	}
	all := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
	return slog.New(slog.NewMultiHandler(log.Handler(), all))
}

func (w *watch) secret(what string, forms ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.secrets == nil {
		w.secrets = map[string]string{}
	}
	for _, form := range forms {
		w.secrets[form] = what
	}
}

// phrase is what the passwords of these tests look like. Others may be anything, such
// as the name of a product, and cannot be looked for.
var phrase = regexp.MustCompile(`^[a-z]+( [a-z]+){2,}$`)

func (w *watch) password(s string) {
	if !phrase.MatchString(s) {
		return
	}
	sum := sha256.Sum256([]byte(s))
	w.secret("password", s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s)),
		hex.EncodeToString([]byte(s)), hex.EncodeToString(sum[:]))
}

var (
	aJWT    = regexp.MustCompile(`^eyJ[\w-]+\.[\w-]+\.[\w-]{43}$`)
	anOfk   = regexp.MustCompile(`ofk_[0-9A-Za-z]{22}_[0-9A-Za-z]{49}`)
	aWhsec  = regexp.MustCompile(`^whsec_[\w+/=]{32,}$`)
	aTOTP   = regexp.MustCompile(`^[A-Z2-7]{32}$`)
	aCode   = regexp.MustCompile(`^[a-z2-7]{4}(-[a-z2-7]{4}){3}$`) // a recovery code
	aSecret = regexp.MustCompile(`^[\w-]{43}$`)                    // a refresh token or a ticket
)

// token takes what may be a credential; the half of one gives as much away as all of it.
func (w *watch) token(s string) {
	switch {
	case aJWT.MatchString(s):
		w.secret("access token", s[len(s)-43:len(s)-21])
	case anOfk.MatchString(s):
		w.secret("API key", s[27:51], s[51:])
	case aTOTP.MatchString(s):
		raw, _ := base32.StdEncoding.DecodeString(s)
		w.secret("secret of a second factor", s, strings.ToLower(s), hex.EncodeToString(raw), string(raw))
	case aCode.MatchString(s):
		plain := strings.ReplaceAll(s, "-", "")
		w.secret("recovery code", s, strings.ToUpper(s), plain, strings.ToUpper(plain))
	case aWhsec.MatchString(s):
		w.secret("webhook secret", s[6:30])
	case aSecret.MatchString(s) && strings.ContainsAny(s, "0123456789"):
		w.secret("refresh token or ticket", s[:21], s[21:])
	}
}

var given = regexp.MustCompile(`"(password|currentPassword|newPassword|refreshToken|token|invitation)"\s*:\s*"([^"\\]*)"`)

// asked learns from a request.
func (w *watch) asked(r *http.Request) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	w.token(token)
	if r.GetBody == nil {
		return
	}
	body, err := r.GetBody()
	if err != nil {
		return
	}
	raw, _ := io.ReadAll(io.LimitReader(body, 64<<10))
	for _, m := range given.FindAllStringSubmatch(string(raw), -1) {
		w.password(m[2])
		w.token(m[2])
	}
}

// mailedToken is the token of a message.
var mailedToken = regexp.MustCompile(`(?m)[\w-]{43}$`)

// shows are the answers that show a credential, once.
var shows = regexp.MustCompile(`^POST /v1/(auth/(login|refresh|password|totp(/activate|/recovery-codes)?)|api-keys(/[^/]+/rotate)?|events/tickets|webhooks(/[^/]+/rotate-secret)?)$`)

// answered learns from an answer, or sees it. What it repeats of the caller's own path
// is no news to the caller.
func (w *watch) answered(r *http.Request, res *http.Response, raw []byte) {
	path := cmp.Or(r.URL.Opaque, r.URL.EscapedPath()) // those who spell it badly on purpose use the former
	where := r.Method + " " + path
	text := string(raw)
	if where == "GET /try/mail" { // the mailbox of all accounts, in development
		for _, token := range mailedToken.FindAllString(text, -1) {
			w.token(token)
		}
		return
	}
	if res.StatusCode < 300 && shows.MatchString(where) {
		var shown map[string]any
		if err := json.Unmarshal(raw, &shown); err == nil {
			for _, name := range []string{"accessToken", "refreshToken", "secret", "ticket"} {
				if s, ok := shown[name].(string); ok {
					w.token(s)
					text = strings.ReplaceAll(text, s, "")
				}
			}
			codes, _ := shown["recoveryCodes"].([]any)
			for _, code := range codes {
				w.token(fmt.Sprint(code))
				text = strings.ReplaceAll(text, fmt.Sprint(code), "")
			}
		}
	}
	if len(path) > 1 {
		text = strings.ReplaceAll(text, path, "")
	}
	w.see(where, fmt.Sprint(res.Header))
	w.see(where, text)
}

// overhears is a transport that tells the watch of a node what passes.
type overhears struct{ http.RoundTripper }

func (o overhears) RoundTrip(r *http.Request) (*http.Response, error) {
	w := watchOf(r.URL.Host)
	if w != nil {
		w.asked(r)
	}
	res, err := o.RoundTripper.RoundTrip(r)
	if w == nil || err != nil || res.StatusCode == http.StatusSwitchingProtocols {
		return res, err
	}
	res.Body = &overheard{ReadCloser: res.Body, done: sync.OnceFunc(func() {})}
	body := res.Body.(*overheard)
	body.done = sync.OnceFunc(func() { w.answered(r, res, body.raw.Bytes()) })
	return res, nil
}

// overheard is a body that reports when it ends or is closed.
type overheard struct {
	io.ReadCloser
	raw  bytes.Buffer
	done func()
}

func (b *overheard) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.raw.Write(p[:n])
	if err != nil {
		b.done()
	}
	return n, err
}

func (b *overheard) Close() error {
	b.done()
	return b.ReadCloser.Close()
}

// ownColumns are where hashes and the secrets of development live.
var ownColumns = []string{
	"users.password_hash", "dev_signing_keys.secret", "refresh_tokens.hash", "tickets.hash", "api_keys.hash", "api_keys.previous_hash",
	"account_tokens.hash", "invitations.hash",
}

// database sees every column of every row, River's jobs and their errors included.
func (w *watch) database(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, testwait.Limit)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if err := w.signingKeys(ctx, conn); err != nil {
		return err
	}

	rows, err := conn.Query(ctx, `
		select c.relname || '.' || a.attname, format(
			case a.atttypid when 'bytea'::regtype then 'select distinct encode(%1$I, ''escape'') from %2$I where %1$I is not null'
				else 'select distinct %1$I::text from %2$I where %1$I is not null' end, a.attname, c.relname)
		from pg_class c join pg_attribute a on a.attrelid = c.oid
		where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
			and a.atttypid::regtype::text in ('text', 'json', 'jsonb', 'jsonb[]', 'text[]', 'bytea', 'character varying', 'character varying[]')
		order by 1`)
	if err != nil {
		return err
	}
	type column struct{ Name, Query string }
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	if err != nil {
		return err
	}
	for _, c := range columns {
		rows, err := conn.Query(ctx, c.Query)
		if err != nil {
			return err
		}
		values, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		w.see("row "+c.Name, strings.Join(values, "\n"))
	}
	return nil
}

func (w *watch) signingKeys(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, "select secret from dev_signing_keys")
	if err != nil {
		return err
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	for _, key := range keys {
		w.secret("signing key", hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key), base64.RawURLEncoding.EncodeToString(key))
	}
	return err
}

// search names what was found, without repeating it.
func (w *watch) search() (found []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	strays.mu.Lock()
	defer strays.mu.Unlock()

	for _, s := range slices.Concat(w.seen, strays.seen) {
		for _, what := range w.in(s) {
			if line := what + " in " + s.where; !slices.Contains(found, line) {
				found = append(found, line)
			}
		}
	}
	slices.Sort(found)
	return found
}

func (w *watch) in(s sighting) (found []string) {
	column, stored := strings.CutPrefix(s.where, "row ")
	own := stored && slices.Contains(ownColumns, column)
	for form, what := range w.secrets { // few enough that the fast search for each is the fast way
		if strings.Contains(s.text, form) {
			found = append(found, what)
		}
	}
	if strings.Contains(s.text, "eyJhbGciOi") || strings.Contains(s.text, "ofk_") && anOfk.MatchString(s.text) {
		found = append(found, "a token or key")
	}
	if !own && (strings.Contains(s.text, "$2a$") || strings.Contains(s.text, "$2b$")) {
		found = append(found, "a password's hash")
	}
	if personless(s.where) && (strings.Contains(s.text, "@example.") || strings.Contains(s.text, "%40example.")) {
		found = append(found, "an e-mail address")
	}
	return found
}

// personless lists outputs that must not contain personal data (SPEC F3).
func personless(where string) bool {
	for _, prefix := range []string{"log", "GET /metrics", "row river_", "row events.", "row idempotency_keys.", "row dead_letters.", "row audit_", "GET /v1/audit", "frame", "span"} {
		if strings.HasPrefix(where, prefix) {
			return true
		}
	}
	return false
}

// The search finds what it should: each kind of canary, planted where it may not be.
func TestCanariesAreFound(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	ann := s.user("ann")
	_, machine := ann.key("orders:read")
	ticket := ann.ticket()
	learnt := watchOf(strings.TrimPrefix(s.base, "http://"))
	key := strings.Repeat("0f", 32)
	learnt.secret("signing key", key)

	for _, row := range []struct{ where, text, want string }{
		{"log", "password=" + userPassword, "password"},
		{"log", "?q=" + url.QueryEscape(userPassword), "password"},
		{"row orders.note", fmt.Sprintf("%x", sha256.Sum256([]byte(userPassword))), "password"},
		{"log", "Bearer " + ann.token, "a token or key, access token"},
		{"GET /v1/orders", ann.token[len(ann.token)-43:], "access token"},
		{"frame", ann.refresh, "refresh token or ticket"},
		{"log", "/v1/events/ws?ticket=" + ticket, "refresh token or ticket"},
		{"row river_job.args", `{"key":"` + machine.token + `"}`, "API key, a token or key"},
		{"row api_keys.hash", machine.token[51:], "API key"},
		{"GET /metrics", key, "signing key"},
		{"row users.name", "$2a$04$KIXQJ0b9uR5zL8mT4vN2cO", "a password's hash"},
		{"row users.password_hash", "$2a$04$KIXQJ0b9uR5zL8mT4vN2cO", ""},
		{"row river_job.errors", `{"for ann@example.com"}`, "an e-mail address"},
		{"row users.email", "ann@example.com", ""},
		{"GET /v1/api-keys", `{"publicPart":"` + machine.token[:26] + `"}`, ""},
	} {
		w := &watch{secrets: maps.Clone(learnt.secrets)}
		w.see(row.where, "before "+row.text+" after")
		var found []string
		for _, f := range w.search() {
			if what, here := strings.CutSuffix(f, " in "+row.where); here {
				found = append(found, what)
			}
		}
		slices.Sort(found)
		if got := strings.Join(slices.Compact(found), ", "); got != row.want {
			t.Errorf("%s %s: found %q, want %q", row.where, row.text, got, row.want)
		}
	}

	for _, what := range []string{"log", "GET /metrics", "POST /v1/auth/login"} {
		if what == "GET /metrics" {
			s.stop() // which scrapes
		}
		learnt.mu.Lock()
		seen := slices.ContainsFunc(learnt.seen, func(s sighting) bool { return s.where == what })
		learnt.mu.Unlock()
		if !seen {
			t.Errorf("nothing was seen of %s", what)
		}
	}
}

// catchStrays sends what is logged past the nodes' own loggers to a watch as well.
func catchStrays() {
	loud := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})
	slog.SetDefault(strays.log(slog.New(loud)))
}
