package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/orderflow-dev/orderflow/modules/inventory"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

const demoAdmin = "admin@orderflow.local"

// welcome makes sure that an administrator can log in and that there is something to order, and
// returns the few lines that say where to look.
func (n *node) welcome(ctx context.Context, data *services, on listeners) (string, error) {
	private := data.postgres != nil
	login := ""
	switch {
	case n.cfg.AdminEmail != "":
		there, err := n.firstAdmin(ctx, n.cfg.AdminEmail, n.cfg.AdminPassword.Reveal())
		if err != nil {
			return "", wrongAdmin(err)
		}
		if there {
			login = n.cfg.AdminEmail + " with ADMIN_PASSWORD"
		}
	case private && !n.cfg.IsProduction():
		password, err := keptPassword(n.cfg.DataDir, rand.Text)
		if err != nil {
			return "", err
		}
		there, err := n.firstAdmin(ctx, demoAdmin, password)
		if err != nil {
			return "", fmt.Errorf("create the administrator: %w", err)
		}
		if there {
			login = demoAdmin + " / " + password + "  (kept in " + filepath.Join(n.cfg.DataDir, "admin-password") + ")"
		}
	}
	if private && !n.cfg.IsProduction() {
		if err := n.inventory.Seed(ctx, inventory.Demo); err != nil {
			return "", fmt.Errorf("create the demo products: %w", err)
		}
	}
	if n.cfg.IsProduction() {
		return "", nil // the log has the line "ready"
	}

	base := ""
	if on.public != nil {
		base = baseURL(n.cfg.Host, on.public)
	}
	probes := base
	if n.cfg.PublicURL != "" {
		base = n.cfg.PublicURL
	}
	if on.internal != nil {
		probes = baseURL(n.cfg.InternalHost, on.internal)
	}
	var b strings.Builder
	line := func(label, text string) { fmt.Fprintf(&b, "  %-9s %s\n", label, text) }
	fmt.Fprintf(&b, "\nOrderflow %s is ready.\n\n", versionOf())
	if n.cfg.Has("api") {
		line("Try it", base+"/try")
		line("API", base+"/v1")
		line("Docs", base+"/docs")
	}
	line("Health", probes+"/health")
	if login != "" {
		line("Log in", login)
	}
	if private {
		line("Data", data.postgres.Dir())
	}
	if n.redisFault != nil {
		line("Redis", n.redisFault.Error()+" (REDIS_URL); limits are counted on this node alone")
	}
	b.WriteString("\n")
	return b.String(), nil
}

// firstAdmin creates the first administrator, and returns whether there is one. That anybody has
// registered the address before stops no start: customers are served without an administrator.
func (n *node) firstAdmin(ctx context.Context, email, password string) (there bool, err error) {
	err = n.users.EnsureAdmin(ctx, email, password, n.cfg.IsProduction())
	if fault.Is(err, "email-taken") {
		n.log.WarnContext(ctx, "there is no administrator, because an ordinary account was registered with the address of ADMIN_EMAIL; "+
			"`orderflow admin create --take-over` deletes that account and creates the administrator")
		return false, nil
	}
	return err == nil, err
}

// wrongAdmin names the settings that an administrator cannot have. It does not quote them.
func wrongAdmin(err error) error {
	invalid, ok := fault.As(err)
	if !ok || len(invalid.Fields) == 0 {
		return fmt.Errorf("ADMIN_EMAIL, ADMIN_PASSWORD: %w", err)
	}
	var errs []error
	for _, f := range invalid.Fields {
		errs = append(errs, fmt.Errorf("ADMIN_%s: %s", strings.ToUpper(strings.TrimPrefix(f.Pointer, "/")), f.Message))
	}
	return errors.Join(errs...)
}

func baseURL(host string, listener net.Listener) string {
	if host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
}
