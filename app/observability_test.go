package app

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	usedMetric = regexp.MustCompile(`\b((?:orderflow|http)_[a-z_]+)(?:\{([^}]*)\})?`)
	usedBy     = regexp.MustCompile(`(?:by|without) ?\(([a-z_, ]+)\)`)
	usedLabel  = regexp.MustCompile(`([a-z_]+)(?:=|!=|=~|!~)"`)
	legend     = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)
)

// fromScrape are labels that Prometheus adds, and those of histograms.
var fromScrape = []string{"instance", "job", "le"}

// checkExpression fails the test for a metric or label that no node exports.
func checkExpression(t *testing.T, known map[string]exported, expression, legends string) {
	t.Helper()
	var labels []string
	for _, use := range usedMetric.FindAllStringSubmatch(expression, -1) {
		m, ok := known[use[1]]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if !ok {
				m, ok = known[strings.TrimSuffix(use[1], suffix)]
			}
		}
		if !ok {
			t.Errorf("%s: no node exports %s", expression, use[1])
		}
		labels = append(labels, m.labels...)
		for _, l := range usedLabel.FindAllStringSubmatch(use[2], -1) {
			if !slices.Contains(append(m.labels, fromScrape...), l[1]) {
				t.Errorf("%s: %s has no label %s", expression, use[1], l[1])
			}
		}
	}
	used := legend.FindAllStringSubmatch(legends, -1)
	for _, list := range usedBy.FindAllStringSubmatch(expression, -1) {
		for l := range strings.SplitSeq(list[1], ",") {
			used = append(used, []string{"", strings.TrimSpace(l)})
		}
	}
	for _, l := range used {
		if !slices.Contains(append(labels, fromScrape...), l[1]) {
			t.Errorf("%s: no metric has the label %s", expression, l[1])
		}
	}
}

func knownMetrics(t *testing.T) map[string]exported {
	t.Helper()
	known := map[string]exported{}
	for _, m := range exportedMetrics(t) {
		known[m.name] = m
	}
	return known
}

func file(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// SPEC F3: the rules for Prometheus use metrics that exist, each alert has a runbook and a test.
func TestAlerts_F3(t *testing.T) {
	t.Parallel()
	known, rules := knownMetrics(t), file(t, "../deploy/observability/rules.yml")
	checkExpression(t, known, regexp.MustCompile(`(?m)^ *(#|summary:|runbook_url:).*$`).ReplaceAllString(rules, ""), "")
	for _, status := range regexp.MustCompile(`route="([^"]+)"`).FindAllStringSubmatch(rules, -1) {
		if !strings.Contains(file(t, "testdata/routes.golden"), " "+status[1]+" ") {
			t.Errorf("there is no route %s", status[1])
		}
	}

	headings := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(file(t, "../docs/operations.md"), -1) {
		headings[strings.ToLower(h[1])] = true
	}
	tests := file(t, "../deploy/observability/rules_test.yml")
	alerts := regexp.MustCompile(`alert: (\w+)\n(?: +.*\n)*? +runbook_url: \S+/docs/operations\.md#(\w+)\n`).FindAllStringSubmatch(rules, -1)
	if want := strings.Count(rules, "alert: "); len(alerts) != want || want < 20 {
		t.Errorf("%d of %d alerts have a runbook", len(alerts), want)
	}
	used := map[string]bool{}
	for _, a := range alerts {
		used[a[2]] = true
		if !headings[a[2]] {
			t.Errorf("%s: docs/operations.md has no runbook %s", a[1], a[2])
		}
		if !strings.HasSuffix(a[1], "Medium") && !strings.HasSuffix(a[1], "Slow") && !regexp.MustCompile(`alertname: `+a[1]+`\n +exp_alerts:\n`).MatchString(tests) {
			t.Errorf("no test expects %s", a[1])
		}
	}
	for h := range headings {
		if !used[h] {
			t.Errorf("no alert has the runbook %s", h)
		}
	}
}

// SPEC F3: the dashboard uses metrics that exist.
func TestDashboard_F3(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal([]byte(file(t, "../deploy/observability/dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	known, rules, seen := knownMetrics(t), file(t, "../deploy/observability/rules.yml"), map[int]bool{}
	for _, p := range dashboard.Panels {
		if seen[p.ID] || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %s has no query, or the id of another", p.Title)
		}
		seen[p.ID] = true
		for _, target := range p.Targets {
			checkExpression(t, known, target.Expr, target.LegendFormat)
			for _, r := range regexp.MustCompile(`orderflow:[a-z0-9_:]+`).FindAllString(target.Expr, -1) {
				if !strings.Contains(rules, "record: "+r+"\n") {
					t.Errorf("%s: no rule records %s", p.Title, r)
				}
			}
		}
	}
}
