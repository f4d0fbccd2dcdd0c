package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/testport"
)

// SPEC F17: config prints each setting with its value and origin, and masks secrets; config check only
// validates, and reports everything that is wrong.
func TestConfigCommand_F17(t *testing.T) {
	t.Parallel()
	dotenv := "LOG_LEVEL=warn\nDATABASE_ULR=" + planted + "\nMY_OWN_" + strings.ToUpper(planted) + "=1\n"
	for name, row := range map[string]struct {
		args, settings []string
		fails          bool
		out, log       []string
	}{
		"table": {[]string{"config"}, []string{"REDIS_URL=redis://:" + planted + "@cache:6379/" + planted, "JWT_KEYS=a=" + planted + planted}, true,
			[]string{"VARIABLE", "LOG_LEVEL ", ".env", "***@cache:6379", "(invalid)"}, []string{"JWT_KEYS: the secret of entry 1"}},
		"valid": {[]string{"config", "check"}, []string{"EVENT_RETENTION=24h"}, false,
			[]string{"The settings are valid."}, []string{"warning: .env: line 2: DATABASE_ULR is not a setting; did you mean DATABASE_URL?", "these lines set variables that are not settings: 3"}},
		"invalid": {[]string{"config", "check"}, []string{"APP_ENV=production", "PORT=" + planted}, true,
			nil, []string{"PORT: is not a whole number", "DATABASE_URL: must be set in production", "REDIS_URL: must be set", "did you mean DATABASE_URL?"}},
		"another subcommand": {[]string{"config", "chekc"}, nil, true, nil, []string{"did you mean check?"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(dotenv), 0o600); err != nil {
				t.Fatal(err)
			}
			p := launch(t, dir, testport.For(t).Number, row.settings, row.args...)

			err := p.wait()

			if (err != nil) != row.fails {
				t.Errorf("it ends with %v", err)
			}
			for _, want := range row.out {
				if !strings.Contains(p.out.String(), want) {
					t.Errorf("stdout is\n%s\nwithout %s", p.out, want)
				}
			}
			for _, want := range row.log {
				if !strings.Contains(p.log.String(), want) {
					t.Errorf("stderr is\n%s\nwithout %s", p.log, want)
				}
			}
			if said := strings.ToLower(p.out.String() + p.log.String()); strings.Contains(said, strings.ToLower(planted)) {
				t.Errorf("a value is printed:\n%s", said)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("it left %v", entries)
			}
		})
	}
}

// SPEC F17: config --json is one document, with and without problems.
func TestConfigAsJSON_F17(t *testing.T) {
	t.Parallel()
	p := launch(t, t.TempDir(), testport.For(t).Number, []string{"LOG_LEVEL=" + planted, "REDIS_URI=x", "APP_ENV=development"}, "config", "--json")

	if err := p.wait(); err == nil {
		t.Error("it ends without an error")
	}
	var document struct {
		Settings []struct {
			Name, Value, Default, Origin, Unit, Meaning string
			Secret, Invalid                             bool
		}
		Problems, Warnings []string
	}
	if err := json.Unmarshal([]byte(p.out.String()), &document); err != nil {
		t.Fatalf("%v: %s", err, p.out)
	}
	if len(document.Settings) < 50 || len(document.Problems) != 1 || len(document.Warnings) != 1 {
		t.Errorf("%d settings, problems %q, warnings %q", len(document.Settings), document.Problems, document.Warnings)
	}
	for _, s := range document.Settings {
		if s.Meaning == "" || s.Invalid != (s.Name == "LOG_LEVEL") || s.Secret != strings.HasPrefix(s.Value, "***") && s.Value != "" {
			t.Errorf("%+v", s)
		}
		if s.Name == "BCRYPT_COST" && (s.Value != "4" || s.Default != "10" || s.Origin != "environment") {
			t.Errorf("%+v", s)
		}
	}
}
