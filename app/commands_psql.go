package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/orderflow-dev/orderflow/internal/embedded"
)

func (c commandLine) psqlCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "psql [-- ARGUMENTS OF PSQL]",
		Short: "Open psql on the database of these settings",
		Long: `Run psql with the connection of these settings: DATABASE_URL, or the private PostgreSQL, also while a
server uses it. What follows -- is passed to psql. The password is passed in the environment.

With --print, the connection string is printed instead, with its password.`,
		Example: c.examples("psql", "psql -- --command='select count(*) from orders'", "psql --print"),
		Args: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); len(args) > 0 && at != 0 {
				return usageErrorf(cmd, "%s got %q; arguments of psql follow --", cmd.CommandPath(), args[0])
			}
			return nil
		},
	}
	show := cmd.Flags().Bool("print", false, "print the connection string, with its password, and do not run psql")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *show && len(args) > 0 {
			return usageErrorf(cmd, "--print: takes no arguments of psql")
		}
		p, err := c.program()
		if err != nil {
			return err
		}
		if *show {
			return p.printConnection(cmd.Context(), cmd.OutOrStdout())
		}
		return p.psql(cmd, args)
	}
	return cmd
}

// printConnection does not start a private PostgreSQL, because that would end with this process.
func (p *program) printConnection(ctx context.Context, out io.Writer) error {
	address := p.cfg.DatabaseURL.Reveal()
	if address == "" {
		var err error
		address, err = attach(ctx, p.cfg)
		if errors.Is(err, embedded.ErrNotRunning) {
			return errors.New("the private PostgreSQL of this DATA_DIR is not running; start the server first, or run psql without --print")
		}
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(out, address)
	return err
}

// psql runs psql as a child process and returns a *childError if it does not end with 0.
func (p *program) psql(cmd *cobra.Command, args []string) error {
	path := embedded.FindClient("psql")
	if path == "" {
		return errors.New("psql is not installed (Debian: apt-get install postgresql-client, Homebrew: brew install libpq); psql --print prints the connection string for other clients")
	}
	data, err := openDatabase(cmd.Context(), p.cfg)
	if err != nil {
		return err
	}
	defer data.close()
	address, password, err := splitPassword(data.databaseURL)
	if err != nil {
		return err
	}
	// Not with the context: Ctrl-C reaches psql from the terminal, and cancels only the statement there.
	child := exec.Command(path, append([]string{"--dbname=" + address}, args...)...) //nolint:noctx // see above
	child.Env = os.Environ()
	if password != "" {
		child.Env = append(child.Env, "PGPASSWORD="+password)
	}
	child.Stdin, child.Stdout, child.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	return runChild(child)
}

// runChild passes SIGTERM on to the child and waits for it.
func runChild(child *exec.Cmd) error {
	if err := child.Start(); err != nil {
		return err
	}
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-terms:
			_ = child.Process.Signal(s)
		case <-done:
		}
	}()
	err := child.Wait()
	close(done)
	signal.Stop(terms)
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		return &childError{max(ended.ExitCode(), 1)} // -1 after a signal
	}
	return err
}

// poolParameters are parameters of the driver that libpq refuses.
var poolParameters = []string{
	"pool_max_conns", "pool_min_conns", "pool_min_idle_conns", "pool_max_conn_lifetime", "pool_max_conn_lifetime_jitter", "pool_max_conn_idle_time",
	"pool_health_check_period", "default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity",
}

// splitPassword takes the password out of a URL, because the arguments of a process are visible to all users.
func splitPassword(address string) (without, password string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", "", errors.New("DATABASE_URL: cannot be read") // the error quotes it
	}
	if u.User != nil {
		password, _ = u.User.Password()
		u.User = url.User(u.User.Username())
	}
	query := u.Query()
	if p := query.Get("password"); p != "" {
		password = p
	}
	for _, name := range append(poolParameters, "password") {
		query.Del(name)
	}
	u.RawQuery = query.Encode()
	return u.String(), password, nil
}
