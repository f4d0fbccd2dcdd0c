package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// dotenvFile is the file of settings, in the working directory.
const dotenvFile = ".env"

// Report is what the environment and .env contain. It contains no value of a secret and no invalid
// value.
type Report struct {
	Config   *Config  // nil if there are problems
	Settings []Value  // all settings, in the order of Config
	Problems []string // why the program cannot start, by the names of variables
	Unknown  []string // variables that look like settings and are none, with what replaces them
}

// Read reads the file .env, if it exists, and the environment, which takes precedence, and reports
// all problems together. It sets the variables of .env in the environment of the process. A Secret may
// also come from a file, see readSecretFiles. PAYMENT_PROVIDER may also name one of providers, which a
// program adds to the providers of the product.
func Read(providers ...string) *Report {
	before := env.ToMap(os.Environ())
	file, err := loadDotenv(dotenvFile)
	if err != nil {
		return &Report{Problems: describeDotenv(err)}
	}
	report := read(env.ToMap(os.Environ()), file, providers)
	report.Unknown = unknownVariables(before, file)
	return report
}

// Err returns nil if there are no problems, and otherwise an error that lists them, one per line, and
// the variables that may be misspelt ones of those that are missing.
func (r *Report) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	return errors.New("configuration:\n  " + strings.Join(slices.Concat(r.Problems, r.Unknown), "\n  "))
}

// read reports the settings of an environment, which it changes. The file says which of its variables
// came from .env.
func read(environment map[string]string, file map[string]assignment, providers []string) *Report {
	for name, value := range environment {
		if strings.TrimSpace(value) == "" {
			delete(environment, name) // an empty variable counts as not set
		}
	}
	origins := originsOf(environment, file)
	var c Config
	r := &Report{Problems: c.validate(environment, providers)}
	r.Settings = c.values(origins, r.Problems)
	if len(r.Problems) == 0 {
		r.Config = &c
	}
	return r
}

// describeDotenv returns a problem for each malformed line.
func describeDotenv(err error) (problems []string) {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for _, err := range list {
		if _, ok := errors.AsType[*lineError](err); ok {
			err = fmt.Errorf("%s: %w", dotenvFile, err)
		}
		problems = append(problems, err.Error())
	}
	return problems
}
