package app

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// A rule of docs/spec.md begins a list item: "- **C3 Idempotency.** ...".
	ruleForm = regexp.MustCompile(`(?m)^- \*\*([A-GR][0-9]+)\b`)
	// Citations: "SPEC C3", "SPEC C2, C3", "SPEC E3 to E5" anywhere; "// C2, C3: ..."
	// before a test; TestName_C2_C3; spec: "D2, D3" of a law of verify.
	citedIn = []*regexp.Regexp{
		regexp.MustCompile(`SPEC ([A-Z][0-9]+(?:(?:, | and | to )[A-Z][0-9]+)*)`),
		regexp.MustCompile(`(?m)^// ([A-Z][0-9]+(?:, [A-Z][0-9]+)*): `),
		regexp.MustCompile(`func (?:Test|Fuzz)[A-Za-z0-9]+?((?:_[A-Z][0-9]+)+)\(`),
		regexp.MustCompile(`spec: "([A-Z][0-9]+(?:, [A-Z][0-9]+)*)"`),
	}
	ruleID = regexp.MustCompile(`[A-Z][0-9]+`)
)

// What is cited exists, and what is guaranteed is tested: each rule of docs/spec.md is
// cited by at least one test.
func TestCitedRulesExist(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../docs/spec.md")
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, m := range ruleForm.FindAllSubmatch(raw, -1) {
		id := string(m[1])
		if slices.Contains(rules, id) {
			t.Errorf("docs/spec.md has two rules %s", id)
		}
		rules = append(rules, id)
	}
	if len(rules) < 50 {
		t.Fatalf("docs/spec.md has only %d rules", len(rules))
	}

	tested := map[string]bool{}
	for path, text := range writtenTexts(t) {
		for _, id := range citations(text) {
			if !slices.Contains(rules, id) {
				t.Errorf("%s cites SPEC %s, which docs/spec.md does not have", path, id)
			}
			tested[id] = tested[id] || strings.HasSuffix(path, "_test.go")
		}
	}
	for _, id := range rules {
		if !tested[id] && id != "G3" { // which is about a document

			t.Errorf("no test cites SPEC %s", id)
		}
	}
}

func TestCitationForms(t *testing.T) {
	t.Parallel()
	rows := []struct{ text, want string }{
		{"see SPEC C3; and (SPEC D2, D3)", "C3 D2 D3"},
		{"SPEC E3 to E5", "E3 E5"},
		{"// B2, B3: no unit is sold twice", "B2 B3"},
		{"func TestStock_B2_B3(t *testing.T) {", "B2 B3"},
		{`spec: "D6, E8"`, "D6 E8"},
		{"// UTF8: text; TestHTTP2(", ""},
	}
	for _, row := range rows {
		if got := strings.Join(citations(row.text), " "); got != row.want {
			t.Errorf("%q cites %q, want %q", row.text, got, row.want)
		}
	}
}

func citations(text string) (ids []string) {
	for _, form := range citedIn {
		for _, m := range form.FindAllStringSubmatch(text, -1) {
			ids = append(ids, ruleID.FindAllString(m[1], -1)...)
		}
	}
	return ids
}

// writtenTexts are the texts of the repository that people write.
func writtenTexts(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != ".." && strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata" || path == "../bin" || path == "../tmp" {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".go", ".sql", ".md", ".yml", ".yaml", ".ts", ".js"}, filepath.Ext(name)) {
			return nil
		}
		raw, err := os.ReadFile(path)
		texts[path] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}
