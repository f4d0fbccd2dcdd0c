package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/events"
)

func (c commandLine) eventsCommand() *cobra.Command {
	return commandGroup("events", "Follow the events of a server", c.tailCommand())
}

func (c commandLine) tailCommand() *cobra.Command {
	var f followFlags
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the events of a server as they happen",
		Long: `Print the events of a server as they happen, one in a line, until Ctrl-C. After a disconnect it goes on
behind the last event that it has printed. Messages about the connection are on stderr.

` + credentialsHelp,
		Example: c.examples("events tail --email=ann@example.com", "events tail --json --types=order.shipped,order.delivered | jq .data"),
		Args:    noArguments,
	}
	f.add(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print each event as one line of JSON, a CloudEvents document as on all transports")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		follow, err := c.follower(cmd, f)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		follow.say = func(format string, args ...any) { _, _ = fmt.Fprintf(cmd.ErrOrStderr(), format, args...) }
		follow.take = func(_ context.Context, e events.Message, text []byte) error { return printEvent(out, *asJSON, e, text) }
		return follow.run(cmd.Context())
	}
	return cmd
}

// printEvent returns a *refused, because a reader that has gone does not come back.
func printEvent(out io.Writer, asJSON bool, e events.Message, text []byte) error {
	line := fmt.Sprintf("%s  %-26s %s  version %d, by %s", e.Time, e.Type, e.Subject, e.Version, e.Actor)
	if asJSON {
		line = string(text)
	}
	if _, err := fmt.Fprintln(out, line); err != nil {
		return &refused{err}
	}
	return nil
}

const credentialsHelp = `The events are those that the account may see: its own, or all for an administrator. Set ORDERFLOW_API_KEY to an
API key with the scope events:read; or give --email, and the password in ORDERFLOW_PASSWORD or at the prompt.`

// followFlags are the flags of commands that follow the events of a server.
type followFlags struct {
	server, email, code, after, order string
	types                             []string
}

func (f *followFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", "", "`URL` of the server (default: PUBLIC_URL, or HOST and PORT of the settings)")
	flags.StringVar(&f.email, "email", "", "`ADDRESS` to log in with")
	flags.StringVar(&f.code, "code", "", "`CODE` of the second factor, or a recovery code; without it, it is asked for on a terminal")
	flags.StringVar(&f.after, "after", "", "begin behind this `CURSOR` instead of now")
	flags.StringVar(&f.order, "order", "", "only the events of the order with this `ID`")
	flags.StringSliceVar(&f.types, "types", nil, "only these `TYPES`, with commas between, such as order.created,order.shipped")
	_ = cmd.RegisterFlagCompletionFunc("types", cobra.FixedCompletions(events.Types(orders.Kinds()), cobra.ShellCompDirectiveNoFileComp))
}

// follower checks the flags and returns a follower without say and take.
func (c commandLine) follower(cmd *cobra.Command, f followFlags) (*follower, error) {
	if f.order != "" {
		if _, err := uuid.Parse(f.order); err != nil {
			return nil, usageErrorf(cmd, "--order: %q is not the id of an order", f.order)
		}
	}
	if f.server != "" && !isWebURL(f.server) {
		return nil, usageErrorf(cmd, "--server: %q is not a URL such as http://localhost:3000", f.server)
	}
	l := &apiLogin{
		key: c.variable("ORDERFLOW_API_KEY"), email: f.email, password: c.variable("ORDERFLOW_PASSWORD"), code: f.code,
		prompt: c.prompt(), client: http.Client{Timeout: followRequest},
	}
	if f.email != "" {
		l.key = ""
	}
	if l.key == "" && l.email == "" {
		return nil, usageErrorf(cmd, "there are no credentials: set ORDERFLOW_API_KEY, or give --email and set ORDERFLOW_PASSWORD")
	}
	if l.key == "" && l.password == "" {
		if l.prompt == nil {
			return nil, usageErrorf(cmd, "the password is missing: set ORDERFLOW_PASSWORD")
		}
		var err error
		if l.password, err = l.prompt("Password of " + l.email + ": "); err != nil {
			return nil, err
		}
	}
	if f.server == "" {
		cfg, err := c.settings()
		if err != nil {
			return nil, err
		}
		f.server = serverURL(cfg)
	}
	l.server = strings.TrimRight(f.server, "/")
	return &follower{server: l.server, query: f.query(), cursor: f.after, login: l}, nil
}

func (f *followFlags) query() url.Values {
	query := url.Values{}
	if len(f.types) > 0 {
		query.Set("types", strings.Join(f.types, ","))
	}
	if f.order != "" {
		query.Set("orderId", f.order)
	}
	return query
}

func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https")
}
