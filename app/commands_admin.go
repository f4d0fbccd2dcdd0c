package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/orderflow-dev/orderflow/modules/auth"
	"github.com/orderflow-dev/orderflow/modules/users"
	"github.com/orderflow-dev/orderflow/modules/webhooks"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func (c commandLine) adminCommand() *cobra.Command {
	return commandGroup("admin", "Create an administrator, or remove a lost second factor", c.createAdminCommand(), c.resetTOTPCommand())
}

func (c commandLine) createAdminCommand() *cobra.Command {
	var a adminRequest
	cmd := &cobra.Command{
		Use:   "create --email=ADDRESS",
		Short: "Create an administrator",
		Long: `Create an administrator. The password is read from ADMIN_PASSWORD; without it, one is generated and
printed. A generated password, and in production also one from ADMIN_PASSWORD, must be changed at the
first login.`,
		Example: c.examples("admin create --email=ann@example.com --name='Ann Smith'"),
		Args:    noArguments,
	}
	cmd.Flags().StringVar(&a.email, "email", "", "`ADDRESS` to log in with (default: ADMIN_EMAIL)")
	cmd.Flags().StringVar(&a.name, "name", "Administrator", "`NAME` to show")
	cmd.Flags().BoolVar(&a.takeOver, "take-over", false, "delete the account of a user that has the address, with its sessions, API keys and webhooks; an administrator is never deleted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("email") && a.email == "" {
			return usageErrorf(cmd, "--email: the value is missing")
		}
		p, err := c.program()
		if err != nil {
			return err
		}
		if a.email == "" {
			a.email = p.cfg.AdminEmail
		}
		if a.email == "" {
			return usageErrorf(cmd, "--email is missing")
		}
		return wrongField(cmd, p.createAdmin(cmd.Context(), a, cmd.OutOrStdout()))
	}
	return cmd
}

// wrongField names the flags or the setting that an account cannot have. Other errors are returned unchanged.
func wrongField(cmd *cobra.Command, err error) error {
	invalid, ok := fault.As(err)
	if !ok || len(invalid.Fields) == 0 {
		return err
	}
	var texts []string
	for _, f := range invalid.Fields {
		name := strings.TrimPrefix(f.Pointer, "/")
		if flag := cmd.Flags().Lookup(name); flag != nil {
			texts = append(texts, fmt.Sprintf("--%s: %q: %s", name, flag.Value, f.Message))
		} else {
			texts = append(texts, fmt.Sprintf("ADMIN_%s: %s", strings.ToUpper(name), f.Message))
		}
	}
	return usageErrorf(cmd, "%s", strings.Join(texts, "\n"))
}

type adminRequest struct {
	email, name string
	takeOver    bool
}

func (p *program) createAdmin(ctx context.Context, a adminRequest, out io.Writer) error {
	password, made := p.cfg.AdminPassword.Reveal(), false
	if password == "" {
		password, made = rand.Text(), true
	}
	var created bool
	err := p.changeAccounts(ctx, func(ctx context.Context, n *node) (err error) {
		created, err = n.users.CreateAdmin(ctx, users.NewAdmin{
			Email: a.email, Password: password, Name: a.name, MustChange: made || p.cfg.IsProduction(), TakeOver: a.takeOver,
		})
		if fault.Is(err, "email-taken") {
			return fmt.Errorf("an account that is not an administrator has the address %s; with --take-over it is deleted and the administrator created", a.email)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !created {
		return fmt.Errorf("there is an administrator with the address %s already", a.email)
	}
	if made {
		_, err = fmt.Fprintf(out, "Created the administrator %s with the password %s\nIt must be changed (POST /v1/auth/password) before the account can be used.\n", a.email, password)
	} else {
		_, err = fmt.Fprintf(out, "Created the administrator %s.\n", a.email)
	}
	return err
}

func (c commandLine) resetTOTPCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset-totp --email=ADDRESS",
		Short: "Remove the second factor of an account and end its sessions",
		Long: `Remove the second factor of an account and end its sessions. It is for the last administrator, for
whom no other one can do it.`,
		Example: c.examples("admin reset-totp --email=ann@example.com"),
		Args:    noArguments,
	}
	email := cmd.Flags().String("email", "", "`ADDRESS` of the account")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *email == "" {
			return usageErrorf(cmd, "--email is missing")
		}
		p, err := c.program()
		if err != nil {
			return err
		}
		return p.resetTOTP(cmd.Context(), *email, cmd.OutOrStdout())
	}
	return cmd
}

func (p *program) resetTOTP(ctx context.Context, email string, out io.Writer) error {
	err := p.changeAccounts(ctx, func(ctx context.Context, n *node) error {
		id, err := n.users.Find(ctx, email)
		if err != nil {
			return err
		}
		if id == uuid.Nil {
			return fmt.Errorf("there is no account with the address %s", email)
		}
		err = n.sessions.ResetFactor(ctx, id)
		if fault.Is(err, "totp-not-active") {
			return fmt.Errorf("the account %s has no second factor", email)
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Removed the second factor of %s and ended its sessions.\n", email)
	return err
}

// changeAccounts runs a command that changes accounts, and seals the audit entries that it records.
func (p *program) changeAccounts(ctx context.Context, do func(ctx context.Context, n *node) error) error {
	keys, err := audit.ParseKeys(p.cfg.AuditKeys.Reveal())
	if err != nil {
		return err
	}
	data, err := openDatabase(ctx, p.cfg)
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
