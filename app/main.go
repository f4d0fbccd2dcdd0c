// Package app assembles the product from its modules and runs it. Main is the main
// function of command orderflow, and of every program that extends the product.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/modules/users"
)

// version is set by the linker for releases.
var version = ""

const usage = `orderflow takes orders over REST, processes them durably and tells everyone over a WebSocket.

usage: orderflow [command]

  serve [--roles=api,worker]   run it; the default
  migrate [--grant=ROLE]       bring the database up to this version, give ROLE, the role of
                               the servers, the privileges that it needs, then exit
  admin create --email=ADDRESS [--name=NAME] [--take-over]
                               create an administrator; the password is read from
                               ADMIN_PASSWORD, or made up and printed; --take-over first
                               deletes an ordinary account that has the address
  admin reset-totp --email=ADDRESS
                               remove the second factor of an account and end its sessions,
                               for an administrator whom no other one can help
  verify [--settled] [--limit=10] [--json]
                               read the database and name every law that it breaks;
                               exit 1 if there is one, 2 if it could not tell
  listen --forward=URL [--types=TYPE,...] [--server=http://localhost:3000]
                               for development: post a server's events to URL as a webhook
                               would get them; as ORDERFLOW_API_KEY, or as --email with
                               ORDERFLOW_PASSWORD
  healthcheck                  ask the server of these settings whether it is ready; for
                               containers
  version                      print the version

Settings come from the environment and from .env; .env.example explains them.
`

// hashCommand starts this program as the child process that hashes passwords. Tests run another
// executable and leave it empty.
var hashCommand []string

// Main runs the command that the program's arguments name, and exits the process
// with its status. It must be called from the main function: to hash passwords at a
// low priority, it starts the same executable again (ADR 13).
//
// The options add to the product. Without any, this is command orderflow.
func Main(options ...Option) {
	if len(os.Args) == 2 && os.Args[1] == "hash" {
		signal.Ignore(os.Interrupt) // from a terminal: the parent ends this process
		if err := users.Hash(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "orderflow hash:", err)
			os.Exit(1)
		}
		return
	}
	if program, err := os.Executable(); err == nil {
		hashCommand = []string{program, "hash"}
	}
	boundMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := Run(ctx, os.Args[1:], os.Stdout, options...)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "orderflow:", err)
		os.Exit(exitCode(err))
	}
}

// Run does what Main does, but returns the error, and returns nil once ctx ends and
// everything has stopped. It handles no signals, bounds no memory and hashes passwords in
// this process. It is for tests of programs that extend the product; the settings are those
// of the environment and of .env, as usual.
func Run(ctx context.Context, args []string, out io.Writer, options ...Option) error {
	command := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	if command == "help" || len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
		_, err := io.WriteString(out, usage)
		return err
	}
	if command == "version" {
		_, err := fmt.Fprintln(out, versionOf())
		return err
	}

	do, known := commands[command]
	if !known {
		return fmt.Errorf("there is no command %q\n\n%s", command, usage)
	}
	err := verdict(command, do(ctx, extensionsOf(options), args, out))
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil //nolint:nilerr // asked to stop while starting, which is no failure
	}
	return err
}

type command func(context.Context, extensions, []string, io.Writer) error

var commands = map[string]command{
	"serve":       withProgram((*program).serveCommand),
	"migrate":     withProgram((*program).migrateCommand),
	"admin":       withProgram((*program).adminCommand),
	"verify":      withProgram((*program).verifyCommand),
	"healthcheck": withSettings(healthCommand),
	"listen":      withSettings(listenCommand),
}

// withProgram gives a command the program: the settings, and the outline of all modules.
func withProgram(do func(*program, context.Context, []string, io.Writer) error) command {
	return func(ctx context.Context, e extensions, args []string, out io.Writer) error {
		cfg, err := load(e)
		if err != nil {
			return err
		}
		p, err := newProgram(cfg, e)
		if err != nil {
			return err
		}
		return do(p, ctx, args, out)
	}
}

// withSettings gives a command the settings alone. A container asks for its health every few
// seconds, and constructing all modules each time would cost more than the question.
func withSettings(do func(context.Context, *config.Config, []string, io.Writer) error) command {
	return func(ctx context.Context, e extensions, args []string, out io.Writer) error {
		cfg, err := load(e)
		if err != nil {
			return err
		}
		return do(ctx, cfg, args, out)
	}
}

// load reads the settings. When they are wrong it names what is wrong with the extensions, too.
func load(e extensions) (*config.Config, error) {
	cfg, err := config.Load(e.providerNames()...)
	if err != nil {
		return nil, errors.Join(err, e.check())
	}
	return cfg, nil
}

// exitCode is 1, but for verify, whose 1 means that it did find something.
func exitCode(err error) int {
	if _, unknown := errors.AsType[*notVerified](err); unknown {
		return 2
	}
	return 1
}

func versionOf() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}
