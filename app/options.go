package app

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/platform/mail"
)

// Option adds something to the product. Options work in any order. One that is wrong is
// reported when the program starts, together with everything else that is wrong.
type Option func(*extensions)

// NewModule constructs a module. It does no input and output: see Platform.
type NewModule func(p *Platform) (Module, error)

// NewProvider constructs a payment provider. It does no input and output, and the
// provider's Name is the one that WithProvider gives.
type NewProvider func(p *Platform) (payments.Provider, error)

// WithModule adds a module with all its abilities: routes, tables, jobs, consumers of
// events. Modules are constructed in the order of the options, after the product's.
func WithModule(constructor NewModule) Option {
	if constructor == nil {
		constructor = func(*Platform) (Module, error) { return nil, nil } //nolint:nilnil // which join reports
	}
	return func(e *extensions) { e.modules = append(e.modules, constructor) }
}

// WithProvider adds a payment provider, which PAYMENT_PROVIDER=name selects. Payments keep
// the name, so it never changes. The constructor is called only when it is selected. The
// product's circuit breaker stands before the provider.
func WithProvider(name string, constructor NewProvider) Option {
	return func(e *extensions) {
		e.providers = append(e.providers, namedProvider{name, constructor})
	}
}

// NewMailer constructs a mailer. It does no input and output.
type NewMailer func(p *Platform) (mail.Mailer, error)

// WithMailer sends the product's messages, such as codes to reset a password, through another service
// than an SMTP server. It takes precedence over SMTP_URL; EMAIL_VERIFICATION is off unless it is set.
// Only one mailer can be given.
func WithMailer(constructor NewMailer) Option {
	return func(e *extensions) { e.mailers = append(e.mailers, constructor) }
}

// WithCommand adds a command to the command line. The constructor is called for each run of the program,
// also for one of another command, so it only constructs: what the command does is its RunE. Its help,
// completion and errors work like those of the product's commands. An error of RunE is printed, and the
// exit code is 1. The name must not be that of a command of the product.
func WithCommand(constructor func() *cobra.Command) Option {
	return func(e *extensions) { e.commands = append(e.commands, constructor) }
}

// extensions are the additions of the options. The zero value is the product alone.
type extensions struct {
	modules   []NewModule
	providers []namedProvider
	steps     []addedStep
	mailers   []NewMailer
	commands  []func() *cobra.Command
}

type namedProvider struct {
	name string
	make NewProvider
}

func extensionsOf(options []Option) (e extensions) {
	for _, add := range options {
		add(&e)
	}
	return e
}

// providerNames returns the values of PAYMENT_PROVIDER in addition to the product's own.
func (e extensions) providerNames() (names []string) {
	for _, p := range e.providers {
		names = append(names, p.name)
	}
	return names
}

var (
	moduleName   = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	providerName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
)

// check validates the steps, the number of mailers, and the providers, which are constructed only when
// selected.
func (e extensions) check() error {
	var errs []error
	seen := []string{"simulated", "stripe"}
	for _, p := range e.providers {
		switch {
		case !providerName.MatchString(p.name):
			errs = append(errs, fmt.Errorf("payment provider %q: a name is in lower-case letters, digits and hyphens", p.name))
		case slices.Contains(seen, p.name):
			errs = append(errs, fmt.Errorf("payment provider %q: there are two of that name", p.name))
		case p.make == nil:
			errs = append(errs, fmt.Errorf("payment provider %q: its constructor is nil", p.name))
		}
		seen = append(seen, p.name)
	}
	if len(e.mailers) > 1 {
		errs = append(errs, fmt.Errorf("there are %d mailers; give one", len(e.mailers)))
	}
	return errors.Join(append(errs, checkSteps(nil, e.steps))...)
}
