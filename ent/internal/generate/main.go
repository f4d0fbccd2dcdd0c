// Command generate generates the ent client from ent/schema; `task generate` runs it.
//
// It is ent's own generator without schema migration: migrations/ owns the tables, and a client
// with ent's migration links Atlas, HCL and cty into the product (ADR 20).
package main

import (
	"log/slog"
	"os"

	"entgo.io/ent/entc"
	"entgo.io/ent/entc/gen"
)

func main() {
	storage, err := gen.NewStorage("sql")
	if err == nil {
		storage.SchemaMode &^= gen.Migrate
		config := &gen.Config{Target: ".", Package: "github.com/orderflow-dev/orderflow/ent", Storage: storage}
		err = entc.Generate("./schema", config, entc.TemplateFiles("internal/generate/runtime.tmpl", "internal/generate/columns.tmpl"))
	}
	if err != nil {
		slog.Error("generate ent", "error", err)
		os.Exit(1)
	}
}
