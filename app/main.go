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
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/modules/users"
)

// version is set by the linker for releases.
var version = ""

// productName is the name of the command line in its help and errors, unless the executable has
// another name.
const productName = "orderflow"

// hashCommand starts this program as the child process that hashes passwords. Tests run another
// executable and leave it empty.
var hashCommand []string

// Main runs the command that the program's arguments name, and exits the process
// with its status. It must be called from the main function: to hash passwords at a
// low priority, it starts the same executable again (ADR 13).
//
// The options add to the product. Without any, this is command orderflow. The help and the
// completion scripts use the name of the executable.
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
	name := programName(os.Args[0])
	err := commandLine{name: name, extensions: extensionsOf(options)}.execute(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !isReported(err) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	os.Exit(exitCode(err))
}

// programName returns the name under which the executable was started.
func programName(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".exe")
	if name == "" || name == "." || strings.ContainsAny(name, " \t/\\") {
		return productName
	}
	return name
}

// Run does what Main does, but returns the error. The command serve returns nil once ctx ends and
// everything has stopped. Run handles no signals, bounds no memory and hashes passwords in
// this process. It is for tests of programs that extend the product; the settings are those
// of the environment and of .env, as usual.
func Run(ctx context.Context, args []string, out io.Writer, options ...Option) error {
	return commandLine{name: productName, extensions: extensionsOf(options)}.execute(ctx, args, out)
}

// load reads the settings. When they are wrong it names what is wrong with the extensions, too.
func load(e extensions) (*config.Config, error) {
	cfg, err := config.Load(e.providerNames()...)
	if err != nil {
		return nil, errors.Join(err, e.check())
	}
	return cfg, nil
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
