package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// resetTOTPCommand removes the second factor of an account. It is for the last administrator, for whom
// no other one can do it.
func (p *program) resetTOTPCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flagSet("admin reset-totp", out)
	email := flags.String("email", "", "address of the account")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *email == "" {
		return errors.New("--email is missing")
	}
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

	id, err := n.users.Find(ctx, *email)
	if err != nil {
		return err
	}
	if id == uuid.Nil {
		return fmt.Errorf("there is no account with the address %s", *email)
	}
	err = n.sessions.ResetFactor(audit.AsCommand(ctx), id)
	if fault.Is(err, "totp-not-active") {
		return fmt.Errorf("the account %s has no second factor", *email)
	}
	if err != nil {
		return err
	}
	if err := audit.NewSealer(n.pool, keys, 0, n.log).Seal(ctx); err != nil {
		n.log.WarnContext(ctx, "the audit entry is left for a node to seal", "error", err)
	}
	_, err = fmt.Fprintf(out, "Removed the second factor of %s and ended its sessions.\n", *email)
	return err
}
