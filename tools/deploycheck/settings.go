package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// composeOnly lists the variables that only docker-compose.yml uses.
var composeOnly = []string{"POSTGRES_PASSWORD", "RUNTIME_PASSWORD", "VERSION"}

// setting is a variable that the program reads, with its default.
type setting struct {
	name, value string
	isSecret    bool // so that name_FILE is read, too
}

var tag = regexp.MustCompile("(Secret)?[ \\t]+`env:\"([A-Z_]+)\"(?: envDefault:\"([^\"]*)\")?`")

// settingsOf reads the tags of config.Config, which define the settings.
func settingsOf(root string) (map[string]setting, error) {
	source, err := os.ReadFile(filepath.Join(root, "config", "config.go"))
	if err != nil {
		return nil, err
	}
	all := map[string]setting{}
	for _, m := range tag.FindAllStringSubmatch(string(source), -1) {
		all[m[2]] = setting{m[2], m[3], m[1] != ""}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("config/config.go: no env tags found")
	}
	return all, nil
}

// checkExample requires every setting in .env.example with its default, and no other variable.
func checkExample(root string, settings map[string]setting) error {
	file, err := os.Open(filepath.Join(root, ".env.example"))
	if err != nil {
		return err
	}
	defer file.Close()

	var wrong problems
	seen := map[string]bool{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		seen[name] = true
		known, ok := settings[name]
		switch {
		case ok && value != known.value:
			wrong.add(".env.example: %s is %q, its default is %q", name, value, known.value)
		case !ok && !slices.Contains(composeOnly, name):
			wrong.add(".env.example: %s is not a setting of the program", name)
		}
	}
	for name := range settings {
		if !seen[name] {
			wrong.add(".env.example: %s is missing", name)
		}
	}
	return wrong.err()
}

// checkNames requires the environment variables of a container to be settings, except for those of
// the Go runtime and of OpenTelemetry.
func checkNames(where string, names []string, settings map[string]setting) error {
	var wrong problems
	for _, name := range names {
		_, known := settings[name]
		known = known || settings[strings.TrimSuffix(name, "_FILE")].isSecret
		if !known && !strings.HasPrefix(name, "OTEL_") && !strings.HasPrefix(name, "GO") {
			wrong.add("%s: %s is not a setting of the program", where, name)
		}
	}
	return wrong.err()
}
