package browser_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/test/browser/pagetest"
)

// SPEC R30, R31: the type of a problem leads to its entry, the contents to the chapters, and nothing is wider
// than the page on a phone or a desktop.
func TestGuide(t *testing.T) {
	t.Parallel()
	ctx := pagetest.Browser(t)
	base := launch(t)

	for _, width := range []int64{390, 1280} {
		do(t, ctx,
			chromedp.EmulateViewport(width, 900),
			chromedp.Navigate("about:blank"),
			chromedp.Navigate(base+"/guide#email-taken"),
			chromedp.WaitVisible(chromedp.CSS("#email-taken:target")))
		over := evaluate[float64](t, ctx, "document.documentElement.scrollWidth - innerWidth")
		tables := evaluate[float64](t, ctx, "Math.max(...Array.from(document.querySelectorAll('table'), (t) => t.scrollWidth - t.clientWidth))")
		top := evaluate[float64](t, ctx, "document.querySelector(':target').getBoundingClientRect().top")
		shoot(t, ctx, "", fmt.Sprint("guide-", width))
		do(t, ctx,
			chromedp.Click(chromedp.CSS(`.contents a[href="#events"]`)),
			chromedp.WaitVisible(chromedp.CSS("h2#events:target")))

		if over > 0 || tables > 0 || top < 0 || top > 900 {
			t.Errorf("at %d px: the page is %v px too wide, a table %v px, and the entry is at %v", width, over, tables, top)
		}
	}
}

func evaluate[T any](t *testing.T, ctx context.Context, script string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, testwait.Limit)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatal(err)
	}
	return value
}
