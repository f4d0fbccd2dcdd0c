package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// secretNames are the variables of type Secret.
func secretNames(t *testing.T) (names []string) {
	t.Helper()
	for field := range reflect.TypeFor[Config]().Fields() {
		if field.Type == reflect.TypeFor[Secret]() {
			names = append(names, field.Tag.Get("env"))
		}
	}
	if len(names) < 9 {
		t.Fatalf("secrets are %v", names)
	}
	return names
}

// secretFile writes a file of a secret.
func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// SPEC F12, ASVS 5.0 13.3.1: every secret can come from a file; a new one by itself.
func TestSecretsComeFromFiles(t *testing.T) {
	t.Parallel()
	for _, name := range secretNames(t) {
		for content, want := range map[string]string{"s3cret": "s3cret", "s3cret\n": "s3cret", "s3cret\r\n": "s3cret", "a s3cret\n\n": "a s3cret\n"} {
			environment := map[string]string{name + "_FILE": secretFile(t, content)}

			problems := readSecretFiles(environment)

			if environment[name] != want || problems != nil {
				t.Errorf("%s of %q is %q, %v", name, content, environment[name], problems)
			}
		}
	}
	c, err := from(map[string]string{"JWT_KEYS_FILE": secretFile(t, goodKey+"\n")})
	if err != nil || c.JWTKeys.Reveal() != goodKey {
		t.Errorf("JWT_KEYS was not read: %v", err)
	}
}

// SPEC F2, F7, ASVS 5.0 16.2.5: a file that cannot be used, and a secret that is given twice, are
// named; nothing of the path or the contents is.
func TestBadSecretFilesAreNotQuoted(t *testing.T) {
	t.Parallel()
	const canary = "Cwm7fjordbank9glyphs"
	folder := filepath.Join(t.TempDir(), canary)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range secretNames(t) {
		for what, vars := range map[string]map[string]string{
			"both":             {name: canary, name + "_FILE": secretFile(t, canary)},
			"no file":          {name + "_FILE": "/nowhere/" + canary},
			"the secret":       {name + "_FILE": canary},
			"a folder":         {name + "_FILE": folder},
			"empty":            {name + "_FILE": secretFile(t, " \n")},
			"NUL":              {name + "_FILE": secretFile(t, canary+"\x00")},
			"not UTF-8":        {name + "_FILE": secretFile(t, canary+"\xff")},
			"large":            {name + "_FILE": secretFile(t, strings.Repeat(canary, 4000))},
			"NUL in the path":  {name + "_FILE": canary + "\x00"},
			"a path too large": {name + "_FILE": strings.Repeat(canary, 500)},
		} {
			_, err := from(vars)

			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), canary) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}
