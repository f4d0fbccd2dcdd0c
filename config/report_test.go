package config

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/golden"
)

// SPEC F17: every setting has its effective value, its default and its origin; secrets are masked.
func TestEffectiveValues_F17(t *testing.T) {
	t.Parallel()
	report := read(map[string]string{
		"DATABASE_URL": "postgres://app:canary@db.example.com:6432/canary", "REDIS_URL_FILE": secretFile(t, "redis://:canary@cache:6379/0\n"), "PORT": "8080", "HOST": " ",
		"EVENT_RETENTION": "90m", "RATE_LIMIT": "10/1m", "TRUSTED_PROXIES": "10.0.0.0/8, 10.1.1.1", "WEBHOOK_ALLOWED_PORTS": "443,8443", "PAGES": "off", "ROLES": "api, worker",
		"STEPS_BEFORE_PAYMENT": "fraud=https://canary.example.com/check,approval=manual", "STEPS_SECRET": "whsec_" + third,
	}, map[string]assignment{"PORT": {1, true}, "DATABASE_URL": {2, false}}, nil)
	if report.Err() != nil {
		t.Fatal(report.Err())
	}

	got := map[string]Value{}
	for _, v := range report.Settings {
		got[v.Name] = v
		if strings.Contains(v.Value, "canary") {
			t.Errorf("%s shows a secret: %s", v.Name, v.Value)
		}
	}

	for name, want := range map[string][3]string{
		"DATABASE_URL":         {"***@db.example.com:6432", "", "environment"},
		"REDIS_URL":            {"***@cache:6379", "", "REDIS_URL_FILE"},
		"PORT":                 {"8080", "3000", ".env"},
		"HOST":                 {"127.0.0.1", "127.0.0.1", "default"},
		"INTERNAL_PORT":        {"", "", "default"},
		"EVENT_RETENTION":      {"1h30m", "168h", "environment"},
		"AUDIT_RETENTION":      {"", "", "default"},
		"RATE_LIMIT":           {"10/1m", "200/1s", "environment"},
		"LOGIN_RATE_LIMIT":     {"10/1m", "10/1m", "default"},
		"TRUSTED_PROXIES":      {"10.0.0.0/8,10.1.1.1/32", "", "environment"},
		"PAGES":                {"off", "on", "environment"},
		"TRUSTED_TRACES":       {"off", "off", "default"},
		"ROLES":                {"api,worker", "api,worker", "environment"},
		"STEPS_BEFORE_PAYMENT": {"fraud=***,approval=manual", "", "environment"},
		"STEPS_SECRET":         {"***", "", "environment"},
		"JWT_KEYS":             {"", "", "default"},

		"RATE_LIMIT_PER_ADDRESS": {"50/1m", "1000/1s", "default"},
		"WEBHOOK_ALLOWED_PORTS":  {"443,8443", "", "environment"},
	} {
		if v := got[name]; v.Value != want[0] || v.Default != want[1] || string(v.Origin) != want[2] {
			t.Errorf("%s is %q, default %q, from %s; want %q", name, v.Value, v.Default, v.Origin, want)
		}
	}
}

// SPEC F17: settings that are invalid are marked, and the others still have their values.
func TestInvalidValuesAreMarked_F17(t *testing.T) {
	t.Parallel()

	report := read(map[string]string{"PORT": "canary", "REDIS_URL_FILE": "/canary", "HOST": "::1"}, nil, nil)

	if report.Config != nil || len(report.Problems) != 3 {
		t.Errorf("problems are %q", report.Problems)
	}
	for _, v := range report.Settings {
		isBad := v.Name == "PORT" || v.Name == "REDIS_URL"
		if v.Invalid != isBad || isBad && v.Value != "" || v.Name == "HOST" && v.Value != "::1" {
			t.Errorf("%+v", v)
		}
	}
}

// SPEC F2, F17: all malformed lines of .env are reported, and nothing of them is quoted.
//
//nolint:paralleltest // it changes the environment and the folder
func TestReadReportsTheFile_F17(t *testing.T) {
	t.Chdir(t.TempDir())
	for text, want := range map[string]string{
		"PORT 1\nLOG_LEVEL=warn\nJWT KEYS=canary\n":             ".env: line 1 has no =; write NAME=value\n.env: line 3 has no name before the =, or one with other characters than letters, digits and _",
		"ORDERFLOW_TEST_D=1\n" + strings.Repeat("canary\n", 99): strings.TrimSpace(strings.Repeat("?\n", maxLineErrors)),
	} {
		if err := os.WriteFile(".env", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}

		report := Read()

		said := strings.Join(report.Problems, "\n")
		if strings.Contains(said, "canary") || report.Config != nil || said != want && (want[0] != '?' || len(report.Problems) != maxLineErrors) {
			t.Errorf("it says\n%s", said)
		}
		if _, isSet := os.LookupEnv("ORDERFLOW_TEST_D"); isSet {
			t.Error("a file with errors sets variables")
		}
	}
	if err := os.Remove(".env"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(".env", 0o700); err != nil {
		t.Fatal(err)
	}
	if report := Read(); report.Err() == nil || !strings.Contains(report.Err().Error(), ".env: is a directory") {
		t.Errorf("a folder: %v", report.Err())
	}
}

// SPEC F17: docs/settings.md lists every setting with its defaults, unit and meaning.
func TestSettingsTable_F17(t *testing.T) {
	t.Parallel()
	development, production := defaults(Development), defaults(Production)
	var lines []string
	for _, s := range Settings() {
		if s.Means == "" {
			t.Errorf("%s is not explained", s.Name)
		}
		usual := cell(development.text(s.Name))
		if other := cell(production.text(s.Name)); other != usual && s.Name != "APP_ENV" {
			usual = strings.TrimPrefix(usual+"; production: "+cmp.Or(other, "none"), "; ")
		}
		lines = append(lines, "| `"+s.Name+"` | "+usual+" | "+s.Unit+" | "+s.Means+" |")
	}
	for name := range meanings {
		if !isKnown(name) {
			t.Errorf("%s is explained and is not a setting", name)
		}
	}

	golden.CheckTable(t, "../docs/settings.md", "| Variable | Default | Unit | Meaning |\n|---|---|---|---|\n", lines)
}

func cell(value string) string {
	if value == "" {
		return ""
	}
	return "`" + value + "`"
}

// SPEC F8, F17: .env.example sets every setting to its default, and starts as it is.
func TestExampleFile_F17(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := parseDotenvFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	example, assignments := map[string]string{}, map[string]assignment{}
	for name, value := range file.vars {
		example[name], assignments[name] = value, assignment{file.at[name], true}
	}

	report := read(example, assignments, nil)

	if said := slices.Concat(report.Problems, unknownVariables(nil, assignments)); len(said) > 0 {
		t.Errorf("it says\n%s", strings.Join(said, "\n"))
	}
	for _, v := range report.Settings {
		if _, isThere := file.vars[v.Name]; !isThere || v.Value != v.Default {
			t.Errorf("%s is %q, its default is %q, in the file: %v", v.Name, v.Value, v.Default, isThere)
		}
	}
}
