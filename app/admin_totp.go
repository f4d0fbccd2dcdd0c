package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

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
	err := p.changeAccounts(ctx, func(ctx context.Context, n *node) error {
		id, err := n.users.Find(ctx, *email)
		if err != nil {
			return err
		}
		if id == uuid.Nil {
			return fmt.Errorf("there is no account with the address %s", *email)
		}
		err = n.sessions.ResetFactor(ctx, id)
		if fault.Is(err, "totp-not-active") {
			return fmt.Errorf("the account %s has no second factor", *email)
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Removed the second factor of %s and ended its sessions.\n", *email)
	return err
}
