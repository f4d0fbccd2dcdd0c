package app

import (
	"errors"
	"io"

	"github.com/spf13/cobra"
)

type verifyRequest struct {
	settled, json bool
	limit         int       // of the subjects that are named for each law
	terminal      io.Writer // for progress; ignored if it is none
}

func (c commandLine) verifyCommand() *cobra.Command {
	var v verifyRequest
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check all invariants of the stored data",
		Long: `Check all invariants of the stored data in one snapshot and name each that is violated. It takes no
locks, so servers go on meanwhile.`,
		Example: c.examples("verify", "verify --settled # after draining: also that no work is left", "verify --json --limit=100"),
		Args:    noArguments,
	}
	cmd.Flags().IntVar(&v.limit, "limit", 10, "how many subjects to name of each violated invariant, as a `NUMBER`")
	cmd.Flags().BoolVar(&v.json, "json", false, "print one JSON document")
	cmd.Flags().BoolVar(&v.settled, "settled", false, "also require that nothing is pending: no job, no order in processing, no payment or refund in progress")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if v.limit < 0 {
			return usageErrorf(cmd, "--limit: \"%d\" is negative", v.limit)
		}
		v.terminal = cmd.ErrOrStderr()
		p, err := c.program()
		if err == nil {
			err = p.verifyDatabase(cmd.Context(), v, cmd.OutOrStdout())
		}
		if err == nil || errors.Is(err, errBroken) {
			return err
		}
		return &notVerified{err} // a bad setting included
	}
	return cmd
}
