package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
)

// unknownVariables describes variables that look like settings and are none: misspelt settings, those
// of the NestJS service that this product replaces, and, in a .env, all others. The file belongs to
// the program, while the environment also has variables of other programs.
//
// It writes the name of a variable only if it is similar to a setting or to a name of the NestJS
// service. A name in .env that nothing knows may be a line of a secret.
func unknownVariables(environment map[string]string, file map[string]assignment) []string {
	return append(unknownInFile(file), unknownInEnvironment(environment, file)...)
}

func unknownInFile(file map[string]assignment) (list []string) {
	var others []string
	for _, name := range byLine(file) {
		switch said := describeUnknown(name); {
		case isKnown(name):
		case said == "":
			others = append(others, strconv.Itoa(file[name].line))
		default:
			list = append(list, fmt.Sprintf("%s: line %d: %s", dotenvFile, file[name].line, said))
		}
	}
	if others != nil {
		list = append(list, fmt.Sprintf("%s: these lines set variables that are not settings: %s", dotenvFile, strings.Join(others, ", ")))
	}
	return list
}

func unknownInEnvironment(environment map[string]string, file map[string]assignment) (list []string) {
	isService := replacedIn(environment) >= minReplaced
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		_, isInFile := file[name]
		if isKnown(name) || isInFile || isServiceLink(name, environment[name]) || !strings.Contains(name, "_") {
			continue // names without an underscore, such as PAGER, are those of other programs
		}
		if said := describeUnknown(name); said != "" && (isService || replacement(name) == "") {
			list = append(list, said)
		}
	}
	return list
}

func byLine(file map[string]assignment) []string {
	return slices.SortedFunc(maps.Keys(file), func(a, b string) int { return file[a].line - file[b].line })
}

// describeUnknown says what a variable means instead, or returns "".
func describeUnknown(name string) string {
	if by := replacement(name); by != "" {
		return name + " " + by
	}
	if meant := nearest(name); meant != "" {
		return fmt.Sprintf("%s is not a setting; did you mean %s?", name, meant)
	}
	return ""
}

// nearest returns the setting that a misspelt name means, or "". It allows an edit for every four
// characters of the name, so that DATABASE_ULR means DATABASE_URL, and POST does not mean PORT.
func nearest(name string) (meant string) {
	const charactersPerEdit = 4
	upper := strings.ToUpper(name)
	least := min(3, (len(name)-1)/charactersPerEdit) + 1
	for _, s := range Settings() {
		for _, known := range []string{s.Name, s.Name + fileSuffix} {
			if known != s.Name && !s.Secret {
				continue
			}
			if d := levenshtein.Distance(upper, known, nil); d < least {
				least, meant = d, known
			}
		}
	}
	return meant
}

// isServiceLink recognises the variables that Kubernetes sets for each service of a namespace, such as
// REDIS_PORT=tcp://10.0.0.11:6379 and REDIS_SERVICE_HOST.
func isServiceLink(name, value string) bool {
	return strings.Contains(value, "://") && strings.HasSuffix(name, "_PORT") ||
		strings.Contains(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") ||
		strings.Contains(name, "_PORT_")
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}
