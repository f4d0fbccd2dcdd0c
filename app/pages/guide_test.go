package pages_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/app/pages"
)

// chapters returns chapters with the names guide/0.md, guide/1.md and so on.
func chapters(bodies ...string) func() []pages.Chapter {
	return func() (list []pages.Chapter) {
		for i, body := range bodies {
			list = append(list, pages.Chapter{Name: fmt.Sprintf("guide/%d.md", i), Body: []byte(body)})
		}
		return list
	}
}

// SPEC R31: the chapters are one page, with a list of contents and links within it.
func TestGuide_R31(t *testing.T) {
	t.Parallel()
	app := setup(t, pages.Options{Guide: chapters(
		"# First `one`\n\n## Part\n\n[a](1.md) [b](../guide/1.md#part) [c](/docs) [d](https://example.com/) [e](#part)\n",
		"# Second & last\n\n## Part\n\n```sh\necho '<hello>'\n```\n\n<b>raw</b>\n",
	)})

	res, body := get(t, app, "/guide")

	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("got %d %q", res.StatusCode, res.Header.Get("Content-Type"))
	}
	for _, want := range []string{
		`<li><a href="#first-one">First one</a></li>`,
		`<li><a href="#second--last">Second &amp; last</a></li>`,
		`<h2 id="first-one">First <code>one</code></h2>`,
		`<h3 id="part">Part</h3>`, `<h3 id="part-1">Part</h3>`,
		`<a href="#second--last">a</a> <a href="#part">b</a> <a href="/docs">c</a> <a href="https://example.com/">d</a> <a href="#part">e</a>`,
		`<pre tabindex="0"><code class="language-sh">echo '&lt;hello&gt;'`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not contain %s", want)
		}
	}
	if strings.Contains(body, "<b>") || strings.Contains(body, "{{") {
		t.Errorf("the page has raw HTML or a placeholder: %s", body)
	}
}

func TestGuideWithALinkToNoChapter(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"2.md", "../other.md#part", "javascript:x()"} {
		app := setup(t, pages.Options{Guide: chapters("# One\n\n[a](" + target + ")\n")})

		if res, _ := get(t, app, "/guide"); res.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s: got %d", target, res.StatusCode)
		}
	}
}
