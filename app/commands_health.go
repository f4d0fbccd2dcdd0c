package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

func (c commandLine) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the server of these settings whether it is ready; for containers",
		Long: `Ask the server on this machine, at HOST and PORT or INTERNAL_HOST and INTERNAL_PORT of the settings,
whether it is ready. It waits up to three seconds for the answer. It is the health check of a container
without a shell.`,
		Example: c.examples("healthcheck"),
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.settings()
			if err != nil {
				return err
			}
			return checkHealth(cmd.Context(), cfg)
		},
	}
}

func checkHealth(ctx context.Context, cfg *config.Config) error {
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
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4<<10))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", res.Status)
	}
	return nil
}
