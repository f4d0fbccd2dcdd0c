package app

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/orderflow-dev/orderflow/modules/auth"
)

// Every folder of modules is a module of the product. One that is left out of constructors
// compiles and passes its own tests, and has no routes.
func TestModulesAreConstructed(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	n := newNode(&cfg, usual, slog.New(slog.DiscardHandler), noop.NewTracerProvider())
	keys, err := auth.ParseKeys("test=" + strings.Repeat("0", 32))
	if err != nil {
		t.Fatal(err)
	}
	if n.keys = keys; n.join(extensions{}) != nil {
		t.Fatal("the modules do not fit together")
	}
	var names []string
	for _, m := range n.modules {
		names = append(names, m.Name())
	}
	folders, err := os.ReadDir("../modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if !slices.Contains(names, f.Name()) {
			t.Errorf("modules/%s is not in the list of constructors in app/modules.go: %v", f.Name(), names)
		}
	}
}
