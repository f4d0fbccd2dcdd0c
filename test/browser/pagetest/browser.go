// Package pagetest drives the pages in a real browser. It is used by the test of the pages with a
// small fake API, and by the test of the whole product.
package pagetest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// Browser starts a headless Chromium with an empty profile and returns the
// context of its tab; both end with the test. The test fails if a page logs an
// error, breaks its Content-Security-Policy, or requests anything from
// another machine, which the browser cannot reach; errors that contain one of the expected texts
// are ignored. Without a Chromium the test is skipped.
func Browser(t *testing.T, expected ...string) context.Context {
	t.Helper()
	path := find()
	if path == "" {
		t.Skip("no chromium on this machine")
	}

	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // containers have no user namespaces, and it only sees our pages
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.WindowSize(1440, 1000),
		chromedp.WSURLReadTimeout(testwait.Limit), // for it to start
	)
	ctx, stopBrowser := chromedp.NewExecAllocator(t.Context(), options...)
	w := &watch{expected: expected}
	ctx, closeTab := chromedp.NewContext(ctx, chromedp.WithListener(w.see))
	t.Cleanup(func() {
		closeTab()
		stopBrowser()
		for _, complaint := range w.all() {
			t.Error(complaint)
		}
	})
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

func find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// watch collects violations of these rules.
type watch struct {
	expected   []string
	mu         sync.Mutex
	complaints []string
}

func (w *watch) see(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			var words []string
			for _, arg := range e.Args {
				words = append(words, string(arg.Value), arg.Description)
			}
			w.complain("console %s: %s", e.Type, strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		w.complain("exception: %s", describe(e.ExceptionDetails))
	case *log.EventEntryAdded:
		// A response of 401 is logged with the source "network", and is part of a test.
		if e.Entry.Source != log.EntrySourceNetwork && e.Entry.Level == log.EntryLevelError {
			w.complain("%s: %s", e.Entry.Source, e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		w.check(e.Request.URL)
	case *network.EventWebSocketCreated:
		w.check(e.URL)
	}
}

func describe(e *runtime.ExceptionDetails) string {
	if e.Exception != nil && e.Exception.Description != "" {
		return e.Exception.Description
	}
	return e.Text
}

func (w *watch) check(address string) {
	u, err := url.Parse(address)
	if err != nil {
		w.complain("request to %q: %v", address, err)
		return
	}
	switch u.Hostname() {
	case "127.0.0.1", "localhost", "": // the empty one is data:
	default:
		w.complain("request to a foreign host: %s", address)
	}
}

func (w *watch) complain(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	complaint := fmt.Sprintf(format, args...)
	if !slices.ContainsFunc(w.expected, func(text string) bool { return strings.Contains(complaint, text) }) {
		w.complaints = append(w.complaints, complaint)
	}
}

func (w *watch) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.complaints
}

// Screenshot saves the whole page as it is at that width, as PNG, in the scheme
// "light" or "dark". The width is restored afterwards.
func Screenshot(t *testing.T, ctx context.Context, path, scheme string, width int64) {
	t.Helper()
	png, err := screenshot(ctx, scheme, width)
	if err == nil {
		err = os.WriteFile(path, png, 0o600)
	}
	if err != nil {
		t.Fatalf("screenshot %s: %v", path, err)
	}
}

func screenshot(ctx context.Context, scheme string, width int64) ([]byte, error) {
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		return nil, err
	}
	metrics := emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600}
	if _, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, metrics); err != nil {
		return nil, err
	}
	if err := chromedp.Do(ctx, chromedp.Sleep(700*time.Millisecond)); err != nil { // for transitions; no test waits for this
		return nil, err
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		return nil, err
	}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}); err != nil {
		return nil, err
	}
	_, err = chromedp.Call(ctx, emulation.ClearDeviceMetricsOverride, cdp.Empty{})
	return png, err
}
