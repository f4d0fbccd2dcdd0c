package browser_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/test/browser/pagetest"
)

// What the fake does and the product does as well is in pagetest; here is what
// needs a server that misbehaves on demand (SPEC A4, A5, E3, E6).
func TestTry(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	ctx := pagetest.Browser(t)

	shoot(t, ctx, f.URL+"/", "landing")
	shoot(t, ctx, f.URL+"/try", "door")
	pagetest.TryFlow(t, ctx, f.URL, email, password)
	shoot(t, ctx, "", "try")

	t.Run("exactly two missed", func(t *testing.T) {
		order := pagetest.Place(t, ctx, 1)
		pagetest.WaitStatus(t, ctx, order, "PROCESSING")
		before := len(pagetest.Log(t, ctx))
		pagetest.Cut(t, ctx)

		f.move(order, "order.shipped", "SHIPPED", "order.completed", "COMPLETED")
		pagetest.Resume(t, ctx)
		pagetest.WaitStatus(t, ctx, order, "COMPLETED")

		news := pagetest.Log(t, ctx)[before:]
		if len(news) != 2 || news[0].Type != "order.shipped" || news[1].Type != "order.completed" || !news[0].Replayed || !news[1].Replayed {
			t.Errorf("after the resumption the log shows %+v", news)
		}
		if n := pagetest.Missed(t, ctx); n != 2 {
			t.Errorf("the page counts %d", n)
		}
	})

	t.Run("a node that goes away is left by itself", func(t *testing.T) {
		for _, code := range []int{1001, 4408, 1011} {
			f.drop(code)
			pagetest.WaitState(t, ctx, "waiting")
			pagetest.WaitState(t, ctx, "live")
		}
	})

	t.Run("an expired token is renewed once for all", func(t *testing.T) {
		was := f.refreshes()
		f.expire()

		do(t, ctx, chromedp.Evaluate[chromedp.Void](`import("/assets/api.js").then((api) =>
			Promise.all([1, 2, 3].map(() => api.request("GET", "/v1/orders"))))`, chromedp.EvalAwaitPromise))
		order := pagetest.Place(t, ctx, 1)
		pagetest.WaitStatus(t, ctx, order, "PROCESSING")

		if n := f.refreshes() - was; n != 1 {
			t.Errorf("refreshed %d times", n)
		}
	})

	t.Run("a cursor that is too old", func(t *testing.T) {
		order := pagetest.Place(t, ctx, 1)
		pagetest.WaitStatus(t, ctx, order, "PROCESSING")
		pagetest.Cut(t, ctx)
		f.move(order, "order.shipped", "SHIPPED")
		f.forget()

		pagetest.Resume(t, ctx)

		pagetest.WaitStatus(t, ctx, order, "SHIPPED") // read through REST
		do(t, ctx, chromedp.WaitReady(chromedp.CSS(`#log .note:first-child[data-why="reset"]`)))
	})

	t.Run("a cancel is offered where it works", func(t *testing.T) {
		f.rest()
		order := pagetest.Place(t, ctx, 1)
		card := `[id="order-` + order + `"]`

		do(t, ctx, chromedp.Click(chromedp.CSS(card+` .cancel`), chromedp.NodeVisible))
		pagetest.WaitStatus(t, ctx, order, "CANCELLED")

		do(t, ctx, chromedp.WaitNotPresent(chromedp.CSS(card+` .cancel`)))
		do(t, ctx, chromedp.Click(chromedp.CSS(card+` summary`)))
		do(t, ctx, chromedp.WaitVisible(chromedp.CSS(card+` .steps-taken li:last-child`)))
	})

	t.Run("a refusal is shown with its errors", func(t *testing.T) {
		do(t, ctx,
			chromedp.SetValue(chromedp.CSS("#products .product input"), "5000"),
			chromedp.Evaluate[chromedp.Void](`document.querySelector("#products .product input").dispatchEvent(new Event("input"))`),
			chromedp.Click(chromedp.CSS("#place:enabled")),
			chromedp.WaitVisible(chromedp.CSS(`#result[data-status="422"] li`)))
		shoot(t, ctx, "", "refused")
	})

	t.Run("a session that has ended", func(t *testing.T) {
		f.drop(4401)

		do(t, ctx, chromedp.WaitVisible(chromedp.CSS("#login-problem")), chromedp.WaitNotVisible(chromedp.CSS("#shop")))
	})
}

// SPEC F5: the documentation shows the description, offline and under its policy.
func TestDocs(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	ctx := pagetest.Browser(t)

	do(t, ctx,
		chromedp.Navigate(f.URL+"/docs"),
		chromedp.WaitVisible(chromedp.CSS(".opblock-post")),
		chromedp.Click(chromedp.CSS(".opblock-post button.opblock-summary-control")),
		chromedp.Click(chromedp.CSS(".opblock-post .execute"), chromedp.NodeVisible),
		chromedp.WaitVisible(chromedp.CSS(".live-responses-table .response-col_status")),
		chromedp.Click(chromedp.CSS(".models-control")),
		chromedp.WaitVisible(chromedp.CSS(".models article, .models .model-container")),
		chromedp.Click(chromedp.CSS(".btn.authorize")),
		chromedp.WaitVisible(chromedp.CSS(".modal-ux input")),
		chromedp.Click(chromedp.CSS(".close-modal")),
		chromedp.WaitNotPresent(chromedp.CSS(".modal-ux")))

	shoot(t, ctx, "", "docs")
}

func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, testwait.Limit)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// shoot saves how the page looks when PAGES_SHOTS names a folder.
func shoot(t *testing.T, ctx context.Context, url, name string) {
	t.Helper()
	dir := os.Getenv("PAGES_SHOTS")
	if dir == "" {
		return
	}
	if url != "" {
		do(t, ctx, chromedp.Navigate(url))
	}
	pagetest.Screenshot(t, ctx, filepath.Join(dir, name+"-light.png"), "light", 1440)
	pagetest.Screenshot(t, ctx, filepath.Join(dir, name+"-dark.png"), "dark", 1440)
	pagetest.Screenshot(t, ctx, filepath.Join(dir, name+"-phone.png"), "light", 390)
}
