package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestSteps(t *testing.T) {
	t.Parallel()

	c, err := from(map[string]string{
		"STEPS_BEFORE_PAYMENT": "fraud=http://10.0.0.7:8080/check%2Cit, approval=manual,credit-limit2=https://credit.internal",
		"STEPS_SECRET":         "whsec_" + third,
	})

	if err != nil {
		t.Fatal(err)
	}
	want := Steps{{Name: "fraud", URL: "http://10.0.0.7:8080/check%2Cit"}, {Name: "approval", Manual: true}, {Name: "credit-limit2", URL: "https://credit.internal"}}
	if len(c.Steps) != len(want) {
		t.Fatalf("%d steps", len(c.Steps))
	}
	for i, step := range c.Steps {
		if step != want[i] {
			t.Errorf("step %d is %+v %s", i, step, step.URL.Reveal())
		}
	}
	if said := fmt.Sprintf("%v %+v %#v", c.Steps, c.Steps, c.Steps); strings.Contains(said, "10.0.0.7") {
		t.Errorf("the URL is printed: %s", said)
	}
}

// F2, F7: every wrong entry is named by its number, and nothing of it is quoted.
func TestWrongSteps(t *testing.T) {
	t.Parallel()
	const name, look, target = "has a name that", "does not look like", "has neither manual nor a URL"
	for value, want := range map[string]string{
		"hunter22":                                 "entry 1 " + look,
		"approval=manual,":                         "entry 2 " + look,
		"approval=manual,,Hunter22=manual":         "entry 2 " + look + " fraud=https://fraud.internal/check or approval=manual; entry 3 " + name,
		"=manual":                                  "entry 1 " + name,
		"hunter_22=manual":                         "entry 1 " + name,
		"2hunter=manual":                           "entry 1 " + name,
		"hunter--22=manual":                        "entry 1 " + name,
		"hunter22-=manual":                         "entry 1 " + name,
		"a b=manual":                               "entry 1 " + name,
		"a=":                                       "entry 1 " + target,
		"a=Manual":                                 "entry 1 " + target,
		"a=hunter22.internal/check":                "entry 1 " + target,
		"a=ftp://hunter22.internal/check":          "entry 1 " + target,
		"a=https:///hunter22":                      "entry 1 " + target,
		"a=https://u:hunter22@fraud.internal":      "entry 1 " + target,
		"a=https://fraud.internal/?key=hunter22":   "entry 1 " + target,
		"a=https://fraud.internal/#hunter22":       "entry 1 " + target,
		"a=https://fraud.internal/a,b=hunter22":    "entry 2 " + target,
		"ok=manual,a=hunter22,b=x,c=https://c/,d=": "entry 2 " + target,
	} {
		_, err := from(map[string]string{"STEPS_BEFORE_PAYMENT": value, "STEPS_SECRET": "whsec_" + third})
		if err == nil || !strings.Contains(err.Error(), "STEPS_BEFORE_PAYMENT: ") || !strings.Contains(err.Error(), want) || strings.Contains(strings.ToLower(err.Error()), "hunter") {
			t.Errorf("%s: it says %v, want %q", value, err, want)
		}
	}
	for _, entry := range []string{"entry 2", "entry 3", "entry 5"} {
		_, err := from(map[string]string{"STEPS_BEFORE_PAYMENT": "ok=manual,a=hunter22,b=x,c=https://c/,d=", "STEPS_SECRET": "whsec_" + third})
		if err == nil || !strings.Contains(err.Error(), entry) || strings.Contains(err.Error(), "entry 4") {
			t.Errorf("%s: it says %v", entry, err)
		}
	}
}

func TestStepsSecret(t *testing.T) {
	t.Parallel()
	const step = "fraud=https://fraud.internal"
	for _, row := range []struct {
		steps, secret string
		good          bool
	}{
		{"", "", true},
		{"approval=manual", "", true},
		{step, "", false},
		{step, "whsec_" + third, true},
		{step, "whsec_" + strings.Repeat("q7Tz", 21) + "qw==", true}, // 64 bytes
		{step, "whsec_" + strings.Repeat("q7Tz", 22), false},         // 66 bytes
		{step, third, false},
		{step, "whsec_" + third[:28], false},
		{step, "whsec_" + third[:31], false},
		{"", "whsec_", false},
	} {
		_, err := from(map[string]string{"STEPS_BEFORE_PAYMENT": row.steps, "STEPS_SECRET": row.secret})
		if row.good != (err == nil) || err != nil && !strings.Contains(err.Error(), "STEPS_SECRET: must be ") {
			t.Errorf("%q, %q: %v", row.steps, row.secret, err)
		}
	}
}
