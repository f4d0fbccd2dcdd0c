package config

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Step is an entry of STEPS_BEFORE_PAYMENT: a step that the service at URL decides, or a person
// (Manual).
type Step struct {
	Name   string
	URL    Secret
	Manual bool
}

// Steps is a list of steps, written fraud=https://fraud.internal/check,approval=manual.
type Steps []Step

// stepName is the form of a name. It is orders.StepName, which this package cannot import; the
// names must be checked here, because a word that is no name may be a secret, and the program
// prints names.
var stepName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// UnmarshalText parses the list. Its error describes all wrong entries.
func (s *Steps) UnmarshalText(text []byte) error {
	*s = nil
	var problems []string
	for i, part := range strings.Split(string(text), ",") {
		step, problem := parseStep(strings.TrimSpace(part))
		if problem != "" {
			problems = append(problems, fmt.Sprintf("entry %d %s", i+1, problem))
		}
		*s = append(*s, step)
	}
	if problems != nil {
		*s = nil
		return valueError(strings.Join(problems, "; "))
	}
	return nil
}

func parseStep(entry string) (_ Step, problem string) {
	name, target, ok := strings.Cut(entry, "=")
	switch {
	case !ok:
		return Step{}, "does not look like fraud=https://fraud.internal/check or approval=manual"
	case !stepName.MatchString(name):
		return Step{}, "has a name that does not consist of lower-case letters, digits and single hyphens"
	case target == "manual":
		return Step{Name: name, Manual: true}, ""
	case checkWebURL("", Secret(target), "") != nil || target == "":
		return Step{}, "has neither manual nor a URL such as https://fraud.internal/check, without user, password and query; a comma in it is written %2C"
	}
	return Step{Name: name, URL: Secret(target)}, ""
}

// overHTTP reports whether a service decides one of the steps.
func (s Steps) overHTTP() bool {
	return slices.ContainsFunc(s, func(step Step) bool { return !step.Manual })
}

// plaintextHosts returns the hosts to which orders would be sent without TLS.
func (s Steps) plaintextHosts() (hosts []string) {
	for _, step := range s {
		if u, err := url.Parse(step.URL.Reveal()); err == nil && u.Scheme == "http" {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

// stepsSecretPrefix begins a secret of Standard Webhooks.
const stepsSecretPrefix = "whsec_"

// checkStepsSecret accepts the form that internal/signature parses.
func (c *Config) checkStepsSecret() []string {
	if c.StepsSecret == "" {
		if c.Steps.overHTTP() {
			return []string{"STEPS_SECRET: must be set with a URL in STEPS_BEFORE_PAYMENT"}
		}
		return nil
	}
	encoded, ok := strings.CutPrefix(c.StepsSecret.Reveal(), stepsSecretPrefix)
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(raw) < 24 || len(raw) > 64 {
		return []string{"STEPS_SECRET: must be whsec_ and the base64 of 24 to 64 random bytes"}
	}
	return nil
}

// masked writes the list without its URLs.
func (s Steps) masked() string {
	list := make([]string, len(s))
	for i, step := range s {
		list[i] = step.Name + "=" + step.URL.String()
		if step.Manual {
			list[i] = step.Name + "=manual"
		}
	}
	return strings.Join(list, ",")
}
