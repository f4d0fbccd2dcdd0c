package app

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/modules/auth"
	"github.com/orderflow-dev/orderflow/modules/users"
	"github.com/orderflow-dev/orderflow/modules/webhooks"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// flagSet reads the flags of a command. Its usage goes to the command's output, so that a test of
// a wrong flag does not print it among the results of other tests.
func flagSet(command string, out io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(out)
	return flags
}

func (p *program) serveCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flagSet("serve", out)
	roles := flags.String("roles", strings.Join(p.cfg.Roles, ","), "api, worker or api,worker")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p.cfg.Roles = strings.Split(*roles, ",")
	for _, r := range p.cfg.Roles {
		if r != "api" && r != "worker" {
			return fmt.Errorf("--roles: there is no role %q; give api, worker or api,worker", r)
		}
	}
	return p.serve(ctx, out)
}

func (p *program) migrateCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flagSet("migrate", out)
	role := flags.String("grant", p.cfg.RuntimeRole, "database role of the servers, which gets the privileges that they need")
	if err := flags.Parse(args); err != nil {
		return err
	}
	data, err := openServices(ctx, p.cfg)
	if err != nil {
		return err
	}
	defer data.close()

	err = migrations.UpAndGrant(ctx, data.databaseURL, *role, p.schemas...)
	if errors.Is(err, migrations.ErrNotARole) {
		return fmt.Errorf("--grant, DATABASE_RUNTIME_ROLE: %w", migrations.ErrNotARole)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "The database is up to date.")
	return err
}

func (p *program) adminCommand(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == "reset-totp" {
		return p.resetTOTPCommand(ctx, args[1:], out)
	}
	if len(args) == 0 || args[0] != "create" {
		return errors.New("usage: orderflow admin create --email=ADDRESS [--name=NAME] [--take-over], or orderflow admin reset-totp --email=ADDRESS")
	}
	flags := flagSet("admin create", out)
	email := flags.String("email", p.cfg.AdminEmail, "address to log in with")
	name := flags.String("name", "Administrator", "name to show")
	takeOver := flags.Bool("take-over", false, "delete the account of a user that has the address, with its sessions, API keys and webhooks; an administrator is never deleted")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *email == "" {
		return errors.New("--email is missing")
	}

	password, made := p.cfg.AdminPassword.Reveal(), false
	if password == "" {
		password, made = rand.Text(), true
	}
	var created bool
	err := p.changeAccounts(ctx, func(ctx context.Context, n *node) (err error) {
		created, err = n.users.CreateAdmin(ctx, users.NewAdmin{
			Email: *email, Password: password, Name: *name, MustChange: made || p.cfg.IsProduction(), TakeOver: *takeOver,
		})
		if fault.Is(err, "email-taken") {
			return fmt.Errorf("an account that is not an administrator has the address %s; with --take-over it is deleted and the administrator created", *email)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !created {
		return fmt.Errorf("there is an administrator with the address %s already", *email)
	}
	if made {
		_, err = fmt.Fprintf(out, "Created the administrator %s with the password %s\nIt must be changed (POST /v1/auth/password) before the account can be used.\n", *email, password)
	} else {
		_, err = fmt.Fprintf(out, "Created the administrator %s.\n", *email)
	}
	return err
}

// changeAccounts runs a command that changes accounts, and seals the audit entries that it records.
func (p *program) changeAccounts(ctx context.Context, do func(ctx context.Context, n *node) error) error {
	keys, err := audit.ParseKeys(p.cfg.AuditKeys.Reveal())
	if err != nil {
		return err
	}
	data, err := openServices(ctx, p.cfg)
	if err != nil {
		return err
	}
	defer data.close()
	n, err := p.openAccounts(ctx, data)
	if err != nil {
		return err
	}
	defer n.close()

	if err := do(audit.AsCommand(ctx), n); err != nil {
		return err
	}
	if err := audit.NewSealer(n.pool, keys, 0, n.log).Seal(ctx); err != nil {
		n.log.WarnContext(ctx, "the audit entry is left for a node to seal", "error", err)
	}
	return nil
}

// openAccounts returns a node that changes accounts and does nothing else. The caller closes it.
func (p *program) openAccounts(ctx context.Context, data *services) (*node, error) {
	n := newNode(p.cfg, usual, logger(p.cfg), noop.NewTracerProvider())
	pool, err := postgres.Open(ctx, data.databaseURL, 2)
	if err != nil {
		n.close()
		return nil, err
	}
	n.pool = pool
	n.sessions = auth.NewSessions(n.pool, n.log)
	n.added = p.extensions
	if _, err := n.newUsers(&Platform{Pool: n.pool, Log: n.log, Production: p.cfg.IsProduction()}); err != nil {
		n.close()
		return nil, err
	}
	n.webhooks = webhooks.New(webhooks.Deps{Pool: n.pool, Log: n.log, Metrics: n.registry}) // disables those of an account that ends
	return n, nil
}

// healthCommand is the health check of a container without a shell.
func healthCommand(ctx context.Context, cfg *config.Config, _ []string, _ io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+probeAddress(cfg)+"/readyz", nil)
	if err != nil {
		return errors.New("HOST, INTERNAL_HOST: not an address or a host name")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the probes cannot be reached: %s", fault.Reason(err)) // the error itself quotes the host
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", res.Status)
	}
	return nil
}
