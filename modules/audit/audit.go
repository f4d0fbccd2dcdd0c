// Package audit serves the audit trail: to administrators all of it, to users the entries about
// their own account. Package platform/audit writes and seals it.
package audit

import (
	"context"
	"strings"

	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Deps are the dependencies of the module.
type Deps struct {
	Pool    *postgres.Pool
	Sealer  *audit.Sealer
	Actions func() []audit.Action // of all modules; called after they are constructed
}

// Module serves the audit trail. It is safe for concurrent use.
type Module struct {
	pool    *postgres.Pool
	sealer  *audit.Sealer
	actions func() []audit.Action
}

// New returns the module. It starts no goroutine.
func New(d Deps) *Module {
	return &Module{pool: d.Pool, sealer: d.Sealer, actions: d.Actions}
}

// Work seals entries and deletes old ones until ctx ends.
func (m *Module) Work(ctx context.Context) error { return m.sealer.Run(ctx) }

// Seal seals the entries that are pending. A node that stops calls it when its modules have ended,
// because they may have written entries after the end of Work.
func (m *Module) Seal(ctx context.Context) error { return m.sealer.Seal(ctx) }

// named returns the names of the actions that a filter selects: one action, or all of a resource if
// the filter ends with a dot.
func (m *Module) named(filter string) (names []string, err error) {
	for _, a := range m.actions() {
		if a.Name == filter || strings.HasSuffix(filter, ".") && strings.HasPrefix(a.Name, filter) {
			names = append(names, a.Name)
		}
	}
	if filter != "" && names == nil {
		f := fault.New(fault.KindMalformed, "malformed", "A parameter is not valid; see errors.")
		f.Fields = []fault.Field{{Pointer: "/query/action", Code: "enum", Message: "is not an action, nor the beginning of one that ends with a dot"}}
		return nil, f
	}
	return names, nil
}
