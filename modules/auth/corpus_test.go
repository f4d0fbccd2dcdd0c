package auth

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// forgeries are tokens that are right in everything but one thing. The forger has
// the signing key: what a signature would stop is the smaller part of them.
func (b *bundle) forgeries() map[string]string {
	good := b.logsIn().access
	said := payloadOf(b.t, good)
	head := fields{"alg": "HS256", "typ": "JWT", "kid": "now"}
	now := time.Now().Unix()
	signed := func(header, payload any) string { return forge(header, payload, secretNow, sha256.New) }
	saying := func(pairs ...any) string { return signed(head, said.with(pairs...)) }
	spelled := func(name, value string) string { // a JSON value that Go would not write
		return signed(head, strings.Replace(mustJSON(said.with(name, "HERE")), `"HERE"`, value, 1))
	}
	parts := strings.Split(good, ".")
	if got := b.who(signed(head, said)); got.status != 200 {
		b.t.Fatalf("the forger cannot forge: %d %s", got.status, got.body)
	}
	other, gone := b.foreignSession(true), b.foreignSession(false)

	return map[string]string{
		// RFC 8725, sections 2.1 and 3.1: the algorithm
		"alg none":          segment(head.with("alg", "none")) + "." + parts[1] + ".",
		"alg none, signed":  signed(head.with("alg", "none"), said),
		"alg None":          segment(head.with("alg", "None")) + "." + parts[1] + "." + parts[2],
		"alg nOnE":          segment(head.with("alg", "nOnE")) + "." + parts[1] + ".",
		"alg hs256":         signed(head.with("alg", "hs256"), said),
		"alg HS384":         forge(head.with("alg", "HS384"), said, secretNow, sha512.New384),
		"alg HS512":         forge(head.with("alg", "HS512"), said, secretNow, sha512.New),
		"alg RS256":         signed(head.with("alg", "RS256"), said),
		"alg PS256":         signed(head.with("alg", "PS256"), said),
		"alg ES256":         signed(head.with("alg", "ES256"), said),
		"alg EdDSA":         signed(head.with("alg", "EdDSA"), said),
		"alg missing":       signed(head.with("alg", nil), said),
		"alg is a list":     signed(head.with("alg", []string{"HS256"}), said),
		"alg twice":         signed(`{"alg":"none","alg":"HS256","kid":"now","typ":"JWT"}`, said),
		"wrong key":         forge(head, said, secretNow+"x", sha256.New),
		"empty key":         forge(head, said, "", sha256.New),
		"public text":       forge(head, said, "orderflow", sha256.New),
		"raised, re-signed": forge(head, said.with("role", "admin"), "an attacker's own key, long enough", sha256.New),

		// section 2.10 and 3.10: what the header claims about the key
		"kid missing":          signed(head.with("kid", nil), said),
		"kid empty":            signed(head.with("kid", ""), said),
		"kid unknown":          signed(head.with("kid", "other"), said),
		"kid of another key":   signed(head.with("kid", "before"), said),
		"kid of a retired key": forge(head.with("kid", "retired"), said, "00112233445566778899aabbccddeeff", sha256.New),
		"kid is a path":        forge(head.with("kid", "../../../../dev/null"), said, "", sha256.New),
		"kid is SQL":           signed(head.with("kid", "x' union select 'now' --"), said),
		"kid is a URL":         signed(head.with("kid", "https://example.com/key"), said),
		"kid with a NUL":       signed(head.with("kid", "now\x00"), said),
		"kid is a number":      signed(head.with("kid", 0), said),
		"kid in capitals":      signed(head.with("kid", "NOW"), said),
		"KID":                  signed(head.with("kid", nil, "KID", "now"), said),
		"crit":                 signed(head.with("crit", []string{"exp"}), said),
		"jku":                  signed(head.with("jku", "https://example.com/keys"), said),
		"jwk":                  signed(head.with("jwk", fields{"kty": "oct", "k": "AA"}), said),
		"x5u":                  signed(head.with("x5u", "https://example.com/x"), said),
		"x5c":                  signed(head.with("x5c", []string{"MIIB"}), said),
		"b64":                  signed(head.with("b64", false, "crit", []string{"b64"}), said),
		"zip":                  signed(head.with("zip", "DEF"), said),

		// section 3.11: one kind of token for another
		"typ of something else": signed(head.with("typ", "at+jwt"), said),
		"typ in small letters":  signed(head.with("typ", "jwt"), said),
		"typ is a list":         signed(head.with("typ", []string{"JWT"}), said),
		"nested":                signed(head.with("cty", "JWT"), good),
		"encrypted":             segment(fields{"alg": "dir", "enc": "A256GCM"}) + "..AAAA." + parts[1] + "." + parts[2],
		"JSON serialisation":    fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
		"kind missing":          saying("kind", nil),
		"kind of another":       saying("kind", "refresh"),
		"kind in capitals":      saying("kind", "Access"),
		"a refresh token":       b.logsIn().refresh,

		// the form
		"no signature":             parts[0] + "." + parts[1] + ".",
		"no payload":               parts[0] + ".." + parts[2],
		"no header":                "." + parts[1] + "." + parts[2],
		"two parts":                parts[0] + "." + parts[1],
		"four parts":               good + "." + parts[2],
		"signature cut":            good[:len(good)-1],
		"signature respelled":      good[:len(good)-1] + respelled(good[len(good)-1]),
		"signature padded":         good + "=",
		"header respelled":         respelledHeader(head, said),
		"header padded":            signed(`{"alg":"HS256","kid":"now","typ":"JWT"} `, said) + "==",
		"letters beyond base64url": good[:10] + "+/" + good[12:],
		"space within":             good[:10] + " " + good[10:],
		"tab within":               good[:10] + "\t" + good[10:],
		"beyond ASCII":             good + "é",
		"payload of another":       parts[0] + "." + segment(said.with("role", "admin")) + "." + parts[2],
		"payload null":             signed(head, "null"),
		"payload a list":           signed(head, "[]"),
		"payload empty":            signed(head, "{}"),
		"payload not UTF-8":        signed(head, "{\"iss\":\"\xff\"}"),
		"header null":              signed("null", said),
		"header not JSON":          signed("{", said),
		"longer than 4 KiB":        saying("pad", strings.Repeat("x", 4<<10)),
		"deep":                     signed(head, strings.Repeat("[", 2000)),
		"something else":           "x",
		"dots":                     "..",
		"10,000 dots":              strings.Repeat(".", 10_000),

		// sections 3.8 and 3.9: for whom and by whom
		"iss missing":         saying("iss", nil),
		"iss of another":      saying("iss", "orderflow-staging"),
		"iss a list":          saying("iss", []string{"orderflow"}),
		"aud missing":         saying("aud", nil),
		"aud of another":      saying("aud", []string{"other"}),
		"aud of two":          saying("aud", []string{"orderflow-api", "other"}),
		"aud the other first": saying("aud", []string{"other", "orderflow-api"}),
		"aud null":            spelled("aud", "null"),
		"role missing":        saying("role", nil),
		"role anyone":         saying("role", "anyone"),
		"sub missing":         saying("sub", nil),
		"sub of another":      saying("sub", other.user.String()),
		"sub of a deleted":    saying("sub", gone.user.String(), "sid", gone.session.String()),
		"sub in another form": saying("sub", "urn:uuid:"+said["sub"].(string)),
		"sid missing":         saying("sid", nil),
		"sid unknown":         saying("sid", uuid.NewString()),
		"sid of another":      saying("sid", other.session.String()),
		"sid zero":            saying("sid", uuid.Nil.String()),
		"claims twice":        signed(head, strings.Replace(mustJSON(said), `{`, `{"sub":"`+other.user.String()+`",`, 1)),
		"claims in capitals":  saying("sub", nil, "SUB", said["sub"]),

		// the times
		"iat missing":       saying("iat", nil),
		"iat in the future": saying("iat", now+30, "exp", now+600),
		"iat absurd":        spelled("iat", "-1000000000000000000"),
		"exp missing":       saying("exp", nil),
		"exp past":          saying("iat", now-901, "exp", now-1),
		"exp far away":      saying("exp", now+901+60),
		"exp before iat":    saying("iat", now+4, "exp", now+3),
		"exp zero":          saying("exp", 0),
		"exp negative":      saying("exp", -now),
		"exp text":          saying("exp", fmt.Sprint(now+60)),
		"exp a fraction":    spelled("exp", fmt.Sprintf("%d.5", now+60)),
		"exp with exponent": spelled("exp", fmt.Sprintf("%de0", now+60)),
		"exp 1e300":         spelled("exp", "1e300"),
		"exp beyond int64":  spelled("exp", "9223372036854775808"),
		"exp true":          spelled("exp", "true"),
		"exp null":          spelled("exp", "null"),
		"nbf in the future": saying("nbf", now+60),
		"nbf text":          saying("nbf", "0"),
	}
}

// respelledHeader is a good token but for the spare bits of its header, under a
// signature that covers them.
func respelledHeader(head, said fields) string {
	h := segment(head.with("kid", "now")) // its length leaves two characters over
	for len(h)%4 == 0 {
		h = segment(mustJSON(head) + " ")
	}
	return resign(h[:len(h)-1]+respelled(h[len(h)-1]), segment(said))
}

type foreign struct{ user, session uuid.UUID }

// foreignSession belongs to another user, who exists or was deleted.
func (b *bundle) foreignSession(there bool) foreign {
	f := foreign{uuid.New(), uuid.Must(uuid.NewV7())}
	b.exec(`insert into sessions (id, user_id, created_at, last_used_at, expires_at)
		values ($1, $2, now(), now(), now() + interval '1 hour')`, f.session, f.user)
	if there {
		b.accounts.set(func(a *fakeAccounts) { a.others = append(a.others, f.user) })
	}
	return f
}

// SPEC A3; RFC 8725; ASVS 5.0 V9.1, V9.2; API2:2023. Over a real connection every
// forgery ends as one and the same 401, after one look into the database at most, and
// is unauthenticated on an open route.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	base := b.listen()
	corpus := b.forgeries()
	if len(corpus) < 100 {
		t.Errorf("only %d forgeries", len(corpus))
	}
	const want = `{"type":"/guide#invalid-token","title":"Unauthorized","status":401,` +
		`"detail":"The access token is not valid, or no longer.","instance":"/v1/who","code":"invalid-token","requestId":"same"}`

	for name, token := range corpus {
		asked := b.pool.Stat().AcquireCount()
		got := b.over(base+"/v1/who", "Authorization", "Bearer "+token)
		if got.status != 401 || got.body != want ||
			got.header.Get("WWW-Authenticate") != `Bearer realm="orderflow", error="invalid_token"` {
			t.Errorf("%s: got %d %v %s", name, got.status, got.header, got.body)
		}
		if n := b.pool.Stat().AcquireCount() - asked; n > 1 {
			t.Errorf("%s: costs %d looks into the database", name, n)
		}
		if got := b.over(base+"/v1/anyone", "Authorization", "Bearer "+token); got.status != 200 || got.body != `""` {
			t.Errorf("%s is authenticated on an open route: %d %s", name, got.status, got.body)
		}
	}
}

// RFC 6750, section 2; ASVS 5.0 V14.2.1: where a token may stand, and how often.
func TestAuthorizationHeader(t *testing.T) {
	t.Parallel()
	b := setup(t)
	base := b.listen()
	token := b.logsIn().access
	for _, row := range []struct {
		name    string
		headers []string
		path    string
		status  int
		code    string
	}{
		{"none", nil, "/v1/who", 401, "unauthenticated"},
		{"bearer", []string{"Authorization", "bearer " + token}, "/v1/who", 200, ""}, // RFC 9110, section 11.1
		{"two", []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}, "/v1/who", 401, "invalid-token"},
		{"two, the other empty", []string{"Authorization", "Bearer " + token, "Authorization", ""}, "/v1/who", 401, "invalid-token"},
		{"two in one", []string{"Authorization", "Bearer " + token + ", Bearer " + token}, "/v1/who", 401, "invalid-token"},
		{"empty", []string{"Authorization", ""}, "/v1/who", 401, "invalid-token"},
		{"only the scheme", []string{"Authorization", "Bearer "}, "/v1/who", 401, "invalid-token"},
		{"no scheme", []string{"Authorization", token}, "/v1/who", 401, "invalid-token"},
		{"scheme with a tab", []string{"Authorization", "Bearer\t" + token}, "/v1/who", 401, "invalid-token"},
		{"scheme doubled", []string{"Authorization", "Bearer Bearer " + token}, "/v1/who", 401, "invalid-token"},
		{"quoted", []string{"Authorization", `Bearer "` + token + `"`}, "/v1/who", 401, "invalid-token"},
		{"basic", []string{"Authorization", "Basic " + token}, "/v1/who", 401, "invalid-token"},
		{"token scheme", []string{"Authorization", "Token " + token}, "/v1/who", 401, "invalid-token"},
		{"to a proxy", []string{"Proxy-Authorization", "Bearer " + token}, "/v1/who", 401, "unauthenticated"},
		{"in another header", []string{"X-Access-Token", token}, "/v1/who", 401, "unauthenticated"},
		{"in the query", nil, "/v1/who?access_token=" + token, 401, "unauthenticated"},
		{"in a cookie", []string{"Cookie", "Authorization=Bearer " + token + "; access_token=" + token}, "/v1/who", 401, "unauthenticated"},
	} {
		got := b.over(base+row.path, row.headers...)
		if got.status != row.status || got.member("code") != row.code {
			t.Errorf("%s: got %d %s", row.name, got.status, got.body)
		}
		if (got.status == 401) != strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: WWW-Authenticate is %q", row.name, got.header.Get("WWW-Authenticate"))
		}
	}
	if got := b.do("POST", "/v1/auth/logout", "", object("access_token", token)); got.status != 401 {
		t.Errorf("in the body: got %d %s", got.status, got.body)
	}
}

// ASVS 5.0 V15.3; API4:2023. A token of a megabyte is cut off with the header
// that holds it, and nothing stays of it or of ten thousand dots.
func TestHugeTokensLeaveNothing(t *testing.T) {
	// Not parallel: it looks at the whole heap.
	b := setup(t)
	base := b.listen()
	dots, huge := strings.Repeat(".", 10_000), strings.Repeat("x", 1<<20)
	ask := func() {
		for range 50 {
			if got := b.over(base+"/v1/who", "Authorization", "Bearer "+dots); got.status != 401 {
				t.Errorf("dots: got %d", got.status)
			}
		}
		for range 20 {
			got, err := b.send(base+"/v1/who", "Authorization", "Bearer "+huge)
			if err == nil && got.status != 431 { // an error is the connection, cut while it was sent
				t.Errorf("huge: got %d %s", got.status, got.body)
			}
		}
	}
	ask() // pools and buffers fill up once
	before := heap()

	ask()

	if after := heap(); after > before+2<<20 {
		t.Errorf("the heap went from %d to %d bytes", before, after)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // the second one clears what pools held over the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// listen serves the node on a real port and returns its address.
func (b *bundle) listen() string {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.app.Listener(l) }()
	b.t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		_ = b.app.ShutdownWithTimeout(testwait.Limit)
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// over asks over the wire, and must be answered.
func (b *bundle) over(url string, headers ...string) answered {
	b.t.Helper()
	got, err := b.send(url, headers...)
	if err != nil {
		b.t.Error(err)
	}
	return got
}

func (b *bundle) send(url string, headers ...string) (answered, error) {
	r, err := http.NewRequestWithContext(b.ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return answered{}, err
	}
	r.Header.Set("X-Request-Id", "same")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return answered{res.StatusCode, res.Header, string(raw)}, err
}

// RFC 8725, section 3.5, and SPEC A3: keys rotate without ending a session. A
// new key is known everywhere before it signs, and the old one is known for as
// long as a token of its lives.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	const older, newer = "2026-05=" + secretBefore, "2026-11=" + secretNow
	accounts, url := newAccounts(), pgtest.URL(t)
	nodes := map[string]*bundle{}
	for _, keys := range []string{older, older + "," + newer, newer + "," + older, newer} {
		nodes[keys] = nodeWith(t, url, accounts, keys)
	}
	old, both, turned, retired := nodes[older], nodes[older+","+newer], nodes[newer+","+older], nodes[newer]

	before, after := both.logsIn(), turned.logsIn()

	for _, row := range []struct {
		name   string
		on     *bundle
		token  string
		status int
	}{
		{"old token, first step", old, before.access, 200},
		{"old token, second step", turned, before.access, 200},
		{"new token where it does not sign yet", both, after.access, 200},
		{"new token at the end", retired, after.access, 200},
		{"old token at the end", retired, before.access, 401},
		{"new token where it is unknown", old, after.access, 401},
	} {
		if got := row.on.who(row.token); got.status != row.status {
			t.Errorf("%s: got %d %s", row.name, got.status, got.body)
		}
	}
	if got := retired.refreshes(before.refresh); got.status != 200 || retired.who(got.member("accessToken")).status != 200 {
		t.Errorf("the session did not outlive the key: %d %s", got.status, got.body)
	}
}

// resign signs two segments as they are.
func resign(header, payload string) string {
	text := header + "." + payload
	return text + "." + base64.RawURLEncoding.EncodeToString(macOf(text, secretNow, sha256.New))
}
