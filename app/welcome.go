package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/orderflow-dev/orderflow/modules/inventory"
)

const demoAdmin = "admin@orderflow.local"

// welcome makes sure that an administrator can log in and that there is something to order, and
// returns the few lines that say where to look.
func (n *node) welcome(ctx context.Context, data *services, on listeners) (string, error) {
	private := data.postgres != nil
	login := ""
	switch {
	case n.cfg.AdminEmail != "":
		if err := n.users.EnsureAdmin(ctx, n.cfg.AdminEmail, n.cfg.AdminPassword.Reveal()); err != nil {
			return "", fmt.Errorf("ADMIN_EMAIL, ADMIN_PASSWORD: %w", err)
		}
		login = n.cfg.AdminEmail + " with ADMIN_PASSWORD"
	case private && !n.cfg.IsProduction():
		password, err := keptPassword(n.cfg.DataDir, rand.Text)
		if err != nil {
			return "", err
		}
		if err := n.users.EnsureAdmin(ctx, demoAdmin, password); err != nil {
			return "", fmt.Errorf("create the administrator: %w", err)
		}
		login = demoAdmin + " / " + password + "  (kept in " + filepath.Join(n.cfg.DataDir, "admin-password") + ")"
	}
	if private && !n.cfg.IsProduction() {
		if err := n.inventory.Seed(ctx, inventory.Demo); err != nil {
			return "", fmt.Errorf("create the demo products: %w", err)
		}
	}
	if n.cfg.IsProduction() {
		return "", nil // the log says it
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
	b.WriteString("\n")
	return b.String(), nil
}

func baseURL(host string, listener net.Listener) string {
	if host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
}
