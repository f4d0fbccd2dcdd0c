package app

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/golden"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// copied are the expressions with a code that was created elsewhere.
var copied = map[string]string{
	"platform/idempotency/refusal.go s.Code":        "the stored response of an Idempotency-Key",
	"platform/web/json.go parts[1]":                 "the text of another fault.Field",
	"modules/orders/bulk_conflicts.go f.Code":       "the fault of one order of a bulk",
	"modules/orders/process.go step.Code":           "the verdict of a step, which the operator adds",
	"modules/orders/storage/row.go row.FailureCode": "the stored failure",
}

func (p *faultSource) isCopied(code ast.Expr) bool { return copied[p.file(code)+" "+text(code)] != "" }

// SPEC R30: the list of error codes has those that the source creates, with their kinds, and no others.
func TestErrorCodesAreThoseOfTheSource_R30(t *testing.T) {
	t.Parallel()
	codes, fields, failures := map[string][]string{}, map[string][]string{}, map[string][]string{}
	for _, p := range faultSources(t) {
		p.faults(func(code, kind, _ string) { codes[code] = append(codes[code], kind) })
		p.fields(func(code, where string) { fields[code] = append(fields[code], where) })
		p.failures(func(code, where string) { failures[code] = append(failures[code], where) })
	}
	kinds := kindsOfSource(t)

	listed := productCodes(t)

	for _, c := range listed.Codes {
		found := map[string]bool{}
		for _, name := range codes[c.Name] {
			found[name] = true
		}
		for _, k := range c.Kinds {
			if !found[kinds[k]] {
				t.Errorf("no fault has the code %q with the kind %s, which is listed", c.Name, kinds[k])
			}
			delete(found, kinds[k])
		}
		if len(found) > 0 {
			t.Errorf("the list does not say that %q has the kinds %v", c.Name, slices.Sorted(maps.Keys(found)))
		}
		delete(codes, c.Name)
	}
	for code := range codes {
		t.Errorf("the code %q is not listed: add it to the ErrorCodes of its module or of platform/web", code)
	}
	compareCodes(t, "code of a member", fields, listed.Fields)
	compareCodes(t, "code of a failed order", failures, listed.Failures)
}

func compareCodes(t *testing.T, what string, found map[string][]string, listed []fault.FieldCode) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range listed {
		if found[c.Name] == nil || seen[c.Name] || c.Meaning == "" {
			t.Errorf("the %s %q is listed twice, without a meaning, or nothing creates it", what, c.Name)
		}
		seen[c.Name] = true
	}
	for name, where := range found {
		if !seen[name] {
			t.Errorf("the %s %q of %s is not listed", what, name, strings.Join(slices.Compact(where), ", "))
		}
	}
}

// kindsOfSource returns the names of the kinds, from their declaration.
func kindsOfSource(t *testing.T) map[fault.Kind]string {
	t.Helper()
	names := map[fault.Kind]string{}
	for _, s := range sources(t, "platform/fault") {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if id, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(id.Names[0].Name, "Kind") {
				names[fault.Kind(len(names))] = strings.TrimPrefix(id.Names[0].Name, "Kind")
			}
			return true
		})
	}
	for kind, name := range names {
		if web.StatusOf(kind) < 400 {
			t.Errorf("the kind %s has the status %d", name, web.StatusOf(kind))
		}
	}
	return names
}

// smallest has the settings that an outline needs.
func smallest() *config.Config {
	return &config.Config{Issuer: "test", Audience: "test", PaymentProvider: "simulated"}
}

func productCodes(t *testing.T) fault.Catalog {
	t.Helper()
	o, err := outlineOf(smallest(), extensions{})
	if err != nil {
		t.Fatal(err)
	}
	return o.codes
}

// SPEC R30: docs/guide/error-codes.md is the list of the code.
func TestErrorCodesAreDocumented_R30(t *testing.T) {
	t.Parallel()
	golden.Check(t, "../docs/guide/error-codes.md", string(describeErrorCodes(productCodes(t))))
}

// A module that is added documents its codes, which have one meaning in the whole program.
func TestErrorCodesOfAddedModules(t *testing.T) {
	t.Parallel()
	coupon := fault.Code{Name: "coupon-used", Kinds: []fault.Kind{fault.KindConflict}, Meaning: "The coupon was used.", Action: "Use another one."}
	taken, odd, empty := coupon, coupon, coupon
	taken.Name, odd.Name, empty.Meaning = "email-taken", "Coupon_used", ""
	for _, row := range []struct {
		code fault.Code
		want string
	}{
		{coupon, ""},
		{taken, `"email-taken" is listed twice`},
		{odd, `"Coupon_used" is not in kebab-case`},
		{empty, `"coupon-used" has no kind, meaning or action`},
	} {
		o, err := outlineOf(smallest(), extensions{modules: []NewModule{func(*Platform) (Module, error) { return withCodes{row.code}, nil }}})

		if row.want == "" && err == nil {
			if text := string(describeErrorCodes(o.codes)); !strings.Contains(text, "## coupon-used\n\n**409.** The coupon was used.") {
				t.Errorf("the chapter does not have the code: %s", text)
			}
		} else if row.want == "" || err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%v: %v, want %q", row.code, err, row.want)
		}
	}
}

type withCodes struct{ code fault.Code }

func (withCodes) Name() string { return "coupons" }

func (withCodes) Routes(*web.API) {}

func (m withCodes) ErrorCodes() fault.Catalog { return fault.Catalog{Codes: []fault.Code{m.code}} }
