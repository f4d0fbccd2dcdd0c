package app

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/orderflow-dev/orderflow/app/pages"
	"github.com/orderflow-dev/orderflow/docs"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// errorCodes returns the error codes of all routes and modules, sorted by name.
func (n *node) errorCodes() fault.Catalog {
	all := web.ErrorCodes()
	for _, m := range n.modules {
		if has, ok := m.(HasErrorCodes); ok {
			all.Add(has.ErrorCodes())
		}
	}
	slices.SortFunc(all.Codes, func(a, b fault.Code) int { return cmp.Compare(a.Name, b.Name) })
	for _, list := range [][]fault.FieldCode{all.Fields, all.Failures} {
		slices.SortFunc(list, func(a, b fault.FieldCode) int { return cmp.Compare(a.Name, b.Name) })
	}
	return all
}

var codeForm = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// checkCodes rejects codes that the guide cannot show: a name that is no anchor, or a code that two
// modules list.
func checkCodes(all fault.Catalog) error {
	var errs []error
	for i, c := range all.Codes {
		switch {
		case !codeForm.MatchString(c.Name):
			errs = append(errs, fmt.Errorf("the error code %q is not in kebab-case", c.Name))
		case i > 0 && all.Codes[i-1].Name == c.Name:
			errs = append(errs, fmt.Errorf("the error code %q is listed twice; a code has one meaning", c.Name))
		case len(c.Kinds) == 0 || c.Meaning == "" || c.Action == "":
			errs = append(errs, fmt.Errorf("the error code %q has no kind, meaning or action", c.Name))
		}
	}
	return errors.Join(errs...)
}

// guide returns the chapters of the API guide.
func (n *node) guide() (list []pages.Chapter) {
	for _, name := range docs.Chapters {
		body := docs.Read(name)
		if name == docs.ErrorCodes {
			body = describeErrorCodes(n.errorCodes())
		}
		list = append(list, pages.Chapter{Name: name, Body: body})
	}
	return list
}

// describeErrorCodes returns the chapter of the guide with all error codes. Each code has a heading of
// its own, so that it can be linked to.
func describeErrorCodes(all fault.Catalog) []byte {
	var b strings.Builder
	b.WriteString("# Error codes\n\nThe `code` of a problem never changes its meaning. New codes are added: treat a code that you do not know like its status.\n")
	for _, c := range all.Codes {
		fmt.Fprintf(&b, "\n## %s\n\n**%s.** %s\n\n- To do: %s\n- Retry: %s.\n", c.Name, statusesOf(c), c.Meaning, c.Action, c.Retry)
	}
	b.WriteString("\n## Codes of single members\n\nEach item of `errors` has a `pointer` (a JSON pointer into the body, or `/query/<name>`, `/path/<name>`, `/header/<name>`), a `code` and a `message`. The value\n\n")
	describeList(&b, all.Fields)
	b.WriteString("\n## Codes of failed orders\n\nAn order that is `FAILED` has `failure.code`, beside those of the operator's steps:\n\n")
	describeList(&b, all.Failures)
	return []byte(b.String())
}

func statusesOf(c fault.Code) string {
	var list []string
	for _, k := range c.Kinds {
		list = append(list, fmt.Sprint(web.StatusOf(k)))
	}
	return strings.Join(list, " or ")
}

func describeList(b *strings.Builder, list []fault.FieldCode) {
	for _, c := range list {
		fmt.Fprintf(b, "- `%s`: %s\n", c.Name, c.Meaning)
	}
}
