package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/modules/auth"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// program is the product with its extensions and settings.
type program struct {
	cfg *config.Config
	extensions
	outline
}

// outline lists the parts of a program. It is known before any connection is opened.
type outline struct {
	api        *web.API // all routes, with nothing behind them
	scopes     []identity.Scope
	schemas    []migrations.Module // of modules that bring tables or consume events
	invariants []Invariant
	actions    []audit.Action // of the audit trail
	codes      fault.Catalog
}

// newProgram checks that the modules fit together and reports all errors.
func newProgram(cfg *config.Config, e extensions) (*program, error) {
	o, err := outlineOf(cfg, e)
	return &program{cfg, e, o}, errors.Join(e.check(), err)
}

// outlineOf constructs every module over a platform that has nothing open, by the same code
// as a node does, and looks at what came of it.
func outlineOf(cfg *config.Config, e extensions) (o outline, err error) {
	log := slog.New(slog.DiscardHandler)
	n := newNode(cfg, usual, log, noop.NewTracerProvider())
	if n.keys, err = auth.ParseKeys("outline=" + strings.Repeat("0", 32)); err != nil {
		return o, err
	}
	if err := n.join(e); err != nil {
		return o, err
	}
	if err := n.checkNames(); err != nil {
		return o, err // the other checks refer to modules by their names
	}
	o.api = web.New(fiber.New(web.Config(web.Options{Log: log})), web.Options{Log: log})
	errs := []error{n.mount(o.api)}
	o.scopes, o.actions, o.codes = o.api.Scopes(), n.auditActions(), n.errorCodes()
	errs = append(errs, checkCodes(o.codes))
	for _, m := range n.modules {
		if h, ok := m.(HasInvariants); ok {
			for _, i := range h.Invariants() {
				i.Spec = "module " + m.Name()
				o.invariants = append(o.invariants, i)
			}
		}
		schema := migrations.Module{Name: m.Name()}
		if h, ok := m.(HasMigrations); ok {
			schema.Files = h.Migrations()
		}
		_, schema.Consumes = m.(EventConsumer)
		if schema.Files != nil || schema.Consumes {
			o.schemas = append(o.schemas, schema)
		}
	}
	return o, errors.Join(append(errs, checkTables(o.schemas), checkInvariants(o.invariants))...)
}

// checkNames checks that names are valid and unique.
func (n *node) checkNames() error {
	var errs []error
	var seen []string
	for _, m := range n.modules {
		name := m.Name()
		if !moduleName.MatchString(name) {
			errs = append(errs, fmt.Errorf("module %q: a name is in lower-case letters, digits and underscores", name))
		}
		if slices.Contains(seen, name) {
			errs = append(errs, fmt.Errorf("module %q: there are two of that name", name))
		}
		seen = append(seen, name)
	}
	return errors.Join(errs...)
}

// checkTables finds tables that two modules would create.
func checkTables(schemas []migrations.Module) error {
	var errs []error
	owners := map[string]string{}
	for _, s := range append([]migrations.Module{{Name: "orderflow", Files: migrations.Files()}}, schemas...) {
		if s.Files == nil {
			continue
		}
		tables, err := migrations.Tables(s.Files)
		if err != nil {
			errs = append(errs, fmt.Errorf("module %s: read its migrations: %w", s.Name, err))
		}
		for table, file := range tables {
			switch owner := owners[table]; {
			case owner != "":
				errs = append(errs, fmt.Errorf("module %s: %s creates the table %s, which belongs to %s", s.Name, file, table, owner))
			case strings.HasPrefix(table, "river_"), strings.HasPrefix(table, "goose_"):
				errs = append(errs, fmt.Errorf("module %s: %s creates the table %s; names that begin with river_ or goose_ are taken", s.Name, file, table))
			}
			owners[table] = s.Name
		}
	}
	return errors.Join(errs...)
}

// checkInvariants finds names that verify would report twice.
func checkInvariants(list []Invariant) error {
	var errs []error
	seen := map[string]bool{}
	for _, l := range allLaws(audit.Keys{}) {
		seen[l.Name] = true
	}
	for _, i := range list {
		if seen[i.Name] {
			errs = append(errs, fmt.Errorf("%s: there are two invariants %q", i.Spec, i.Name))
		}
		seen[i.Name] = true
	}
	return errors.Join(errs...)
}

// migrate brings a database up to date with the product and then with the modules.
func (p *program) migrate(ctx context.Context, url string) error {
	return migrations.UpWith(ctx, url, p.schemas...)
}
