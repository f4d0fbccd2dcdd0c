package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// F2: a value is what is written.
func TestDotenvValues(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]map[string]string{
		"":                           {},
		"\n \n# A=1\n\t# x\n":        {},
		"A=1":                        {"A": "1"},
		"A=1\r\nB=2\r\n":             {"A": "1", "B": "2"},
		"\xef\xbb\xbfA=1\nB=2":       {"A": "1", "B": "2"},
		"export A=1\nexport\tB = 2":  {"A": "1", "B": "2"},
		"A = 1 \nB=\nC":              nil,
		"A=\nB=  ":                   {"A": "", "B": ""},
		"A=1\nA=2":                   {"A": "2"},
		"exported=1":                 {"exported": "1"},
		"P=Tr0ub4dor$2026&xyz":       {"P": "Tr0ub4dor$2026&xyz"},
		`P="Tr0ub4dor$2026&xyz"`:     {"P": "Tr0ub4dor$2026&xyz"},
		`P='Tr0ub4dor$2026&xyz'`:     {"P": "Tr0ub4dor$2026&xyz"},
		"H=home\nP=a${H}b$H$(id)$$`": {"H": "home", "P": "a${H}b$H$(id)$$`"},
		`P="a${H}b\$H\\n"`:           {"P": `a${H}b$H\n`},
		`P=a\$b\n`:                   {"P": `a\$b\n`},
		`P="C:\dir\"x\""`:            {"P": `C:\dir"x"`},
		`P="a\nb\rc"`:                {"P": "a\nb\rc"},
		`P='a\n"b"' # c`:             {"P": `a\n"b"`},
		"P=\"a\n b\n\"\nQ=1":         {"P": "a\n b\n", "Q": "1"},
		"P=pass#word # why\nQ=#x":    {"P": "pass#word", "Q": "#x"},
		"P= # nothing":               {"P": ""},
		"P=\"a#b\"#c":                {"P": "a#b"},
		"P=a'b\"c":                   {"P": "a'b\"c"},
		"P=a=b==":                    {"P": "a=b=="},
		"P=ü€𝄞":                      {"P": "ü€𝄞"},
		"#\xff\nA=1":                 {"A": "1"},
	} {
		file, err := parseDotenvFile([]byte(text))
		got := file.vars
		if (err != nil) != (want == nil) || want != nil && !maps.Equal(got, want) {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
}

// F2: an error names the line that cannot be read, and quotes nothing of it.
func TestDotenvErrors(t *testing.T) {
	t.Parallel()
	for text, line := range map[string]int{
		"A=1\nPORT canary":               2,
		"A=1\n\ncanary":                  3,
		"A='x\ny'\ncanary: 1":            3,
		"A=1\nB=\"canary\nC=1":           2,
		"B='canary":                      1,
		"B=\"canary\\\"":                 1,
		"=canary":                        1,
		"B c=canary":                     1,
		"1=canary":                       1,
		"ca-nary=canary":                 1,
		"cänary=canary":                  1,
		"A=can\x00ary":                   1,
		"A=1\nB=can\xffary":              2,
		"A=1\nB=\"can\nary\" canary":     3,
		"A=canary\rB=canary":             1,
		"\xff\xfeA\x00":                  1,
		string(utf16LE("A=canary\nB=1")): 1,
	} {
		_, err := parseDotenvFile([]byte(text))

		bad, ok := errors.AsType[*lineError](err)
		if !ok || bad.line != line || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "can") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func utf16LE(s string) []byte {
	raw := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		raw = append(raw, byte(u), byte(u>>8))
	}
	return raw
}

// The environment wins over the file, and a file that is not there is none.
//
//nolint:paralleltest // it changes the environment
func TestDotenvAndTheEnvironment(t *testing.T) {
	name := filepath.Join(t.TempDir(), ".env")
	if _, err := loadDotenv(name); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ORDERFLOW_TEST_A", "real")
	t.Setenv("ORDERFLOW_TEST_B", "")
	t.Setenv("ORDERFLOW_TEST_C", "")
	if err := os.Unsetenv("ORDERFLOW_TEST_C"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("ORDERFLOW_TEST_A=file\nORDERFLOW_TEST_B=file\nORDERFLOW_TEST_C=file$1"), 0o600); err != nil {
		t.Fatal(err)
	}

	file, err := loadDotenv(name)

	got := fmt.Sprint(os.Getenv("ORDERFLOW_TEST_A"), "|", os.Getenv("ORDERFLOW_TEST_B"), "|", os.Getenv("ORDERFLOW_TEST_C"))
	if err != nil || got != "real||file$1" {
		t.Errorf("%s, %v", got, err)
	}
	want := map[string]assignment{"ORDERFLOW_TEST_A": {1, false}, "ORDERFLOW_TEST_B": {2, false}, "ORDERFLOW_TEST_C": {3, true}}
	if !maps.Equal(file, want) {
		t.Errorf("the variables of the file are %v, want %v", file, want)
	}
}
