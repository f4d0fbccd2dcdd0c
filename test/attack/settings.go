package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/syncbuf"
)

// settingsAttacks are those on the configuration and what a process needs.
func settingsAttacks() []attack {
	return []attack{
		{name: "secrets-in-errors", refs: "CWE-532, CWE-209; ASVS 16.2.5, 13.3.1", need: private, does: "Breaks each setting that holds a secret in several ways, and looks for the secret in the output.", do: secretsInErrors},
		{name: "secrets-in-env-file", refs: "CWE-532, CWE-209; ASVS 16.2.5", need: private, does: "Breaks lines of .env in several ways, and looks for the secrets of all lines in the output.", do: secretsInEnvFile},
		{name: "unsafe-settings", refs: "CWE-1188; ASVS 13.2.1, 13.4.5", need: private, does: "Starts production with settings that open networks, trust the internet or simulate payments.", do: unsafeSettings},
		{name: "open-redis", refs: "CWE-306; ASVS 13.2.1", need: private, does: "Empties the in-process Redis of development from another process of the machine.", do: openRedis},
		{name: "database-role", refs: "CWE-250; ASVS 13.2.2", need: private, does: "Rewrites events, ledger and movements with the database role that migrate prepares for servers.", do: databaseRole},
		{name: "claimed-administrator", refs: "CWE-1390; ASVS 6.1.1", need: private, slow: true, does: "Registers the address of ADMIN_EMAIL before there is an administrator, and starts the server again.", do: claimedAdministrator},
		{name: "initial-password", refs: "ASVS 6.4.1", need: private, does: "Uses the password that admin create makes up for something else than changing it.", do: initialPassword},
	}
}

// broken returns ways in which a value with a canary is written wrongly. The canary stays in one
// piece, or in pieces long enough to recognize.
func broken(canary string) []string {
	return []string{
		canary, canary + "=", "=" + canary, "a=" + canary[:12], "id:" + canary, "\"" + canary, "'" + canary, canary + "\n" + canary, canary + " " + canary,
		"postgres://user:" + canary + "@[::1", "postgres://user:" + canary + "@host:port/db", "redis://:" + canary + "@host:port", "https://user:" + canary + "@127.0.0.1:99999/x?token=" + canary,
		"http://" + canary + ":x@/", "%zz" + canary, canary + "\x7f", "whsec_" + canary, "fraud=https://u:" + canary + "@x/", canary + ",," + canary, "ftp://" + canary,
	}
}

const canary = "Zq7Canary4xW9secretvaluePLM"

func secretsInErrors(x *trial) {
	base := x.environment(x.nowhere(), "redis://:"+secret()+"@127.0.0.1:1/0", "1", "2", secret()[:40])
	runs := 0
	for _, name := range []string{"JWT_KEYS", "DATABASE_URL", "REDIS_URL", "ADMIN_PASSWORD", "STRIPE_SECRET_KEY", "STEPS_SECRET", "STEPS_BEFORE_PAYMENT", "PAYMENT_SIMULATOR_URL", "STRIPE_API_URL", "AUDIT_KEYS", "OTEL_EXPORTER_OTLP_ENDPOINT", "SMTP_URL", "TOTP_KEYS"} {
		for _, value := range broken(canary) {
			if strings.ContainsRune(value, 0) {
				continue
			}
			runs++
			_, out := x.command(x, append(base, name+"="+value, "PAYMENT_PROVIDER=stripe"), "migrate")
			if leaks(out) {
				x.found("%s is shown", name)
				break
			}
		}
	}
	x.figure("%d starts", runs)
}

// nowhere is a DATABASE_URL at which no server is, so that a start fails at once.
func (x *trial) nowhere() string {
	return "postgres://u:p@127.0.0.1:1/x?sslmode=disable&connect_timeout=1"
}

// leaks reports whether a piece of the canary is in the output.
func leaks(out string) bool {
	out = strings.ToLower(out)
	low := strings.ToLower(canary)
	for i := 0; i+10 <= len(low); i++ {
		if strings.Contains(out, low[i:i+10]) {
			return true
		}
	}
	return false
}

func secretsInEnvFile(x *trial) {
	lines := []string{"PORT 3000", "PORT", "\"PORT=3000", "PORT='3000", "export", "=3000", "PORT=3000=", "ADMIN PASSWORD=x", "ADMIN_PASSWORD=\"" + canary, "ADMIN_PASSWORD='" + canary, "-----BEGIN KEY-----", "PORT: 3000 x", "\x00", "ADMIN_PASSWORD=${" + canary, "{", canary}
	runs := 0
	for _, line := range lines {
		for _, last := range []bool{false, true} {
			dir, err := os.MkdirTemp(x.dir, "env-*")
			x.must(err, "make a folder")
			secrets := "JWT_KEYS=a=" + canary + "\nADMIN_PASSWORD=" + canary + "\nSTRIPE_SECRET_KEY=sk_live_" + canary + "\n"
			text := line + "\n" + secrets
			if last {
				text = secrets + line
			}
			x.must(os.WriteFile(filepath.Join(dir, ".env"), []byte(text), 0o600), "write .env")
			cmd := exec.CommandContext(x, x.binary, "migrate")
			cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "APP_ENV=production", "DATABASE_URL=" + x.nowhere()}
			out, _ := cmd.CombinedOutput() // it must fail
			runs++
			if leaks(string(out)) {
				x.found("a secret is shown for the line %.12q (last: %t)", line, last)
			}
		}
	}
	x.figure("%d starts", runs)
}

// unsafeSettings runs migrate against no database: a setting that is refused is named before the
// connection is tried.
func unsafeSettings(x *trial) {
	base := x.environment(x.nowhere(), "redis://:"+secret()+"@127.0.0.1:1/0", "1", "2", secret()[:40])
	rows := []struct {
		settings string
		warns    bool // a warning is enough
	}{
		{settings: "WEBHOOK_ALLOWED_NETWORKS=0.0.0.0/0"},
		{settings: "WEBHOOK_ALLOWED_NETWORKS=0.0.0.0/1,128.0.0.0/1"},
		{settings: "WEBHOOK_ALLOWED_NETWORKS=169.254.169.254"},
		{settings: "TRUSTED_PROXIES=0.0.0.0/1,128.0.0.0/1"},
		{settings: "TRUSTED_PROXIES=::/1"},
		{settings: "ALLOW_SIMULATED_PAYMENTS="},
		{settings: "BCRYPT_COST=4"},
		{settings: "JWT_KEYS=a=" + strings.Repeat("0123456789abcdef", 2)},
		{settings: "ADMIN_PASSWORD=administrator"},
		{settings: "DATABASE_URL=postgres://u:p@db.attack.example/x?sslmode=prefer"}, //nolint:gosec // there is no such server
		{settings: "REDIS_URL=redis://redis.attack.example/0"},
		{settings: "ALLOWED_ORIGINS=*"},
	}
	for _, row := range rows {
		name, _, _ := strings.Cut(row.settings, "=")
		code, out := x.command(x, append(base, row.settings), "migrate")
		if code == 0 || !strings.Contains(out, name) {
			x.found("%s starts", row.settings)
		}
	}
	x.figure("%d settings", len(rows))
}

// openRedis starts the program in development and looks at every port that it listens on.
func openRedis(x *trial) {
	address, drop, err := x.database(x)
	x.must(err, "create a database")
	x.atEnd(drop)
	dir, err := os.MkdirTemp(x.dir, "development-*")
	x.must(err, "make a folder")
	out := &syncbuf.Buffer{}
	cmd := exec.Command(x.binary, "serve") //nolint:noctx // stopped below
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "APP_ENV=development", "PORT=0", "DATABASE_URL=" + address, "BCRYPT_COST=4"}
	exited, err := embedded.Spawn(cmd)
	x.must(err, "start in development")
	x.atEnd(func() { _ = cmd.Process.Kill(); <-exited })
	redis := 0
	x.within(20*time.Second, func() bool {
		redis = 0
		for _, port := range listening(cmd.Process.Pid) {
			if reply := redisSays(x, port, "PING"); strings.HasPrefix(reply, "+PONG") || strings.HasPrefix(reply, "-NOAUTH") {
				redis = port
			}
		}
		return redis != 0
	})
	if redis == 0 {
		x.skip("there is no Redis on a port, or no /proc to look for it")
	}
	for _, command := range []string{"FLUSHALL", "EVAL \"return 1\" 0", "KEYS *"} {
		if reply := redisSays(x, redis, command); !strings.HasPrefix(reply, "-NOAUTH") && !strings.HasPrefix(reply, "-ERR") && reply != "" {
			x.found("%s is answered without a password", strings.Fields(command)[0])
		}
	}
}

// listening returns the TCP ports that a process listens on, by /proc.
func listening(pid int) (ports []int) {
	own := map[string]bool{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && strings.HasPrefix(to, "socket:[") {
			own[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		raw, _ := os.ReadFile(table)
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != "0A" || !own[f[9]] {
				continue
			}
			var port int
			if _, hex, ok := strings.Cut(f[1], ":"); ok {
				if _, err := fmt.Sscanf(hex, "%X", &port); err == nil {
					ports = append(ports, port)
				}
			}
		}
	}
	return ports
}

// redisSays returns the first line of the reply to an inline command.
func redisSays(ctx context.Context, port int, command string) string {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	var b strings.Builder
	words := regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(command, -1)
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		w = strings.Trim(w, `"`)
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	_, _ = io.WriteString(conn, b.String())
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

func databaseRole(x *trial) {
	address, drop, err := x.database(x)
	x.must(err, "create a database")
	x.atEnd(drop)
	role := x.dbs.Prefix + "_server"
	password := secret()
	_, err = x.dbs.Admin.Exec(x, fmt.Sprintf("create role %s login password '%s'", role, password))
	x.must(err, "create a role")
	x.atEnd(func() {
		drop()
		_, _ = x.dbs.Admin.Exec(context.WithoutCancel(x), "drop role if exists "+role) // also after an interrupt
	})
	env := x.environment(address, "redis://:"+secret()+"@127.0.0.1:1/0", "1", "2", secret()[:40])
	if code, out := x.command(x, env, "migrate", "--grant="+role); code != 0 {
		x.found("migrate prepares no role for servers: %.100s", out)
		return
	}
	cfg, err := pgx.ParseConfig(address)
	x.must(err, "read the address")
	cfg.User, cfg.Password = role, password
	conn, err := pgx.ConnectConfig(x, cfg)
	x.must(err, "connect with the role")
	defer conn.Close(x)
	if _, err := conn.Exec(x, "select count(*) from orders"); err != nil {
		x.found("migrate prepares no role for servers: %v", err)
	}
	for _, sql := range []string{
		"update events set data = '{}'", "delete from events", "truncate events", "delete from ledger", "update movements set delta = 0", "alter table events disable trigger all",
		"set session_replication_role = replica", "copy (select 1) to program 'true'", "drop table orders", "create table public.x (n int)",
	} {
		if _, err := conn.Exec(x, sql); err == nil {
			x.found("the role may %s", sql)
		}
	}
}

// claimedAdministrator needs a start without an administrator, then one with the address taken.
func claimedAdministrator(x *trial) {
	n := x.fresh("ADMIN_EMAIL=", "ADMIN_PASSWORD=")
	c := x.caller(n)
	address := "future-" + adminEmail
	x.want(201, c, "POST", "/v1/auth/register", fields{"email": address, "password": userPassword})
	if err := n.restart(x, x.binary, "ADMIN_EMAIL="+address, "ADMIN_PASSWORD="+secret()[:30]); err != nil {
		x.found("the server does not start any more: %.160s", lastLine(err.Error()))
		return
	}
	c.mail, c.pass = address, userPassword
	if a := c.send(x, "POST", "/v1/auth/login", fields{"email": address, "password": userPassword}); a.status == 200 {
		c.token = a.text("accessToken")
		if c.send(x, "GET", "/v1/users", nil).status == 200 {
			x.found("the stranger is the administrator")
		}
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func initialPassword(x *trial) {
	n := x.fresh()
	code, out := x.command(x, append(n.env, "ADMIN_EMAIL=", "ADMIN_PASSWORD="), "admin", "create", "--email=second@attack.example")
	if code != 0 {
		x.fatal("admin create: %s", out)
	}
	c := x.caller(n)
	c.mail = "second@attack.example"
	for _, word := range regexp.MustCompile(`\S{12,}`).FindAllString(out, -1) {
		word = strings.Trim(word, `"'.,:`)
		if strings.Contains(word, "@") {
			continue
		}
		if a := c.send(x, "POST", "/v1/auth/login", fields{"email": c.mail, "password": word}); a.status == 200 {
			c.token = a.text("accessToken")
			break
		}
	}
	if c.token == "" {
		x.fatal("no password in %q lets the administrator in", out)
	}
	for _, path := range []string{"/v1/users", "/v1/orders", "/v1/orders/export?format=csv"} {
		if a := c.send(x, "GET", path, nil); a.status == 200 {
			x.found("%s works with a password that was printed and never changed", path)
		}
	}
}
