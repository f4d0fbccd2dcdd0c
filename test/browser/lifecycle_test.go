package browser_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" // RFC 6238 codes use it
	"encoding/base32"
	bigendian "encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/test/browser/pagetest"
)

func cardOf(order string) string { return `[id="order-` + order + `"]` }

// act clicks the button of an action, and confirms what it asks for.
func act(t *testing.T, ctx context.Context, order, action string, asks bool) {
	t.Helper()
	do(t, ctx, chromedp.Click(chromedp.CSS(cardOf(order)+" .acts ."+action), chromedp.NodeVisible))
	if asks {
		do(t, ctx, chromedp.Click(chromedp.CSS(cardOf(order)+` .ask [type="submit"]`), chromedp.NodeVisible))
	}
}

// SPEC C10, E33: an administrator leads an order through its whole life at /try, by the actions that
// allowedActions names: held, released, shipped, completed, refunded and deleted.
func TestTryLifecycle_E33(t *testing.T) {
	t.Parallel()
	ctx := pagetest.Browser(t)
	base := launch(t, "ADMIN_EMAIL="+email, "ADMIN_PASSWORD="+password)
	pagetest.LogIn(t, ctx, base, email, password)
	order := pagetest.Place(t, ctx, 2)
	pagetest.WaitStatus(t, ctx, order, "PROCESSING")

	act(t, ctx, order, "hold", true)
	pagetest.WaitStatus(t, ctx, order, "ON_HOLD")
	do(t, ctx, chromedp.WaitVisible(chromedp.CSS("#result.held")))
	act(t, ctx, order, "release", false)
	pagetest.WaitStatus(t, ctx, order, "PROCESSING")
	act(t, ctx, order, "ship", true)
	pagetest.WaitStatus(t, ctx, order, "SHIPPED")
	act(t, ctx, order, "complete", false)
	pagetest.WaitStatus(t, ctx, order, "COMPLETED")
	do(t, ctx, chromedp.WaitVisible(chromedp.CSS(cardOf(order)+`[data-payment="CAPTURED"]`)))

	do(t, ctx,
		chromedp.Click(chromedp.CSS(cardOf(order)+" .refund"), chromedp.NodeVisible),
		chromedp.SetValue(chromedp.CSS(cardOf(order)+` .ask [name="amount"]`), "999999"),
		chromedp.Click(chromedp.CSS(cardOf(order)+` .ask [type="submit"]`)),
		chromedp.WaitVisible(chromedp.CSS(cardOf(order)+" .problem")))
	if said := evaluate[string](t, ctx, `document.querySelector('`+cardOf(order)+` .problem').textContent`); said == "" || strings.Contains(said, "/") {
		t.Errorf("the error is shown as %q", said)
	}
	act(t, ctx, order, "refund", true)
	do(t, ctx, chromedp.WaitVisible(chromedp.CSS(cardOf(order)+`[data-payment="REFUNDED"]`)))
	looksGood(t, ctx, "lifecycle")
	act(t, ctx, order, "delete", false)
	do(t, ctx, chromedp.WaitNotPresent(chromedp.CSS(cardOf(order))))
}

// SPEC E33: the message of the placed order follows it: it is not shown as good when the order has
// failed. The customer chooses the payment method, and a retry of an administrator is not offered.
func TestTryFollowsTheOrder_E33(t *testing.T) {
	t.Parallel()
	ctx := pagetest.Browser(t)
	base := launch(t)
	register(t, base)
	pagetest.LogIn(t, ctx, base, email, password)
	do(t, ctx, chromedp.SetValue(chromedp.CSS("#method"), "pm_card_chargeDeclinedInsufficientFunds"))

	order := pagetest.Place(t, ctx, 1)
	pagetest.WaitStatus(t, ctx, order, "FAILED")

	do(t, ctx, chromedp.WaitVisible(chromedp.CSS(`#result.bad[data-now="FAILED"]`)))
	if said := evaluate[string](t, ctx, `document.querySelector("#result .now").textContent`); !strings.Contains(said, "insufficient funds") {
		t.Errorf("the message says %q", said)
	}
	if n := evaluate[int](t, ctx, `document.querySelectorAll('`+cardOf(order)+` .acts button').length`); n != 0 {
		t.Errorf("a customer is offered %d actions on a failed order", n)
	}
	looksGood(t, ctx, "declined")
}

// SPEC A11, E33: the page asks for the code of a second factor.
func TestTryAsksForTheSecondFactor_E33(t *testing.T) {
	t.Parallel()
	ctx := pagetest.Browser(t)
	base := launch(t)
	register(t, base)
	pagetest.LogIn(t, ctx, base, email, password)
	secret := evaluateAsync(t, ctx, `import("/assets/api.js").then(async (api) => {
		await api.request("POST", "/v1/auth/confirm", { body: { password: "`+password+`" } });
		return (await api.request("POST", "/v1/auth/totp")).body.secret; })`)
	evaluateAsync(t, ctx, `import("/assets/api.js").then(async (api) => {
		await api.request("POST", "/v1/auth/totp/activate", { body: { code: "`+codeOf(t, secret, -1)+`" } }); return "ok"; })`)
	do(t, ctx,
		chromedp.Navigate(base+"/try"),
		chromedp.SendKeys(chromedp.CSS("#email"), email),
		chromedp.SendKeys(chromedp.CSS("#password"), password+"\r"), // by keyboard
		chromedp.WaitVisible(chromedp.CSS("#code:focus")),
		chromedp.WaitVisible(chromedp.CSS("#login-problem")))
	looksGood(t, ctx, "second-factor")

	do(t, ctx,
		chromedp.SendKeys(chromedp.CSS("#code"), codeOf(t, secret, 0)+"\r"),
		chromedp.WaitVisible(chromedp.CSS("#shop")))
	pagetest.WaitState(t, ctx, "live")
}

func evaluateAsync(t *testing.T, ctx context.Context, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, testwait.Limit)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// codeOf is the code of RFC 6238, so many steps from now.
func codeOf(t *testing.T, secret string, steps int64) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(secret, "="))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(bigendian.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()/30+steps)))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", bigendian.BigEndian.Uint32(sum[at:])&0x7fffffff%1_000_000)
}

// overlapping returns the texts of neighbours that lie over each other, and whether the page is wider
// than the window.
const overlapping = `(() => {
	const found = [];
	if (document.documentElement.scrollWidth > innerWidth) found.push("wider than the window: " + document.documentElement.scrollWidth);
	for (const parent of document.querySelectorAll("#log .event, .order .top, .order .foot, .acts, .head, .line, .checkout, .product, .bar, .steps-taken li, .mail-head")) {
		const boxes = [...parent.children].flatMap((node) => {
			const range = document.createRange();
			range.selectNodeContents(node);
			return [...range.getClientRects()].filter((r) => r.width > 1 && r.height > 1).map((r) => ({ node, r }));
		});
		for (const [i, a] of boxes.entries()) for (const b of boxes.slice(i + 1)) {
			if (a.node !== b.node && Math.min(a.r.right, b.r.right) - Math.max(a.r.left, b.r.left) > 1 && Math.min(a.r.bottom, b.r.bottom) - Math.max(a.r.top, b.r.top) > 1) {
				found.push(a.node.textContent + " over " + b.node.textContent);
			}
		}
	}
	return found;
})()`

// looksGood checks at every width and in both colour schemes that nothing lies over anything else, and that
// axe-core finds no violation.
func looksGood(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	source := axe(t)
	everyLook(t, ctx, func(look string) {
		for _, found := range evaluate[[]string](t, ctx, overlapping) {
			t.Errorf("%s at %s: %s", name, look, found)
		}
		if source == "" {
			return
		}
		for _, found := range axeFaults(t, ctx, source) {
			t.Errorf("%s at %s: %s", name, look, found)
		}
	})
	shoot(t, ctx, "", name)
}

// everyLook runs check at the widths of phones and desktops, in both colour schemes.
func everyLook(t *testing.T, ctx context.Context, check func(look string)) {
	t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
			t.Fatal(err)
		}
		for _, width := range []int64{390, 1280, 1366, 1920} {
			metrics := emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600}
			if _, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, metrics); err != nil {
				t.Fatal(err)
			}
			check(fmt.Sprintf("%d px, %s", width, scheme))
		}
	}
	_, _ = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{})
	_, _ = chromedp.Call(ctx, emulation.ClearDeviceMetricsOverride, cdp.Empty{})
}

func axeFaults(t *testing.T, ctx context.Context, axe string) []string {
	t.Helper()
	evaluate[bool](t, ctx, axe+"; true")
	text := evaluateAsync(t, ctx, `Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {}))).then(() => axe.run()).then((r) => r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html).join(" ")).join("\n"))`)
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}
