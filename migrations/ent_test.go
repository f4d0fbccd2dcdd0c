package migrations_test

import (
	"testing"

	"entgo.io/ent/entc"
	"entgo.io/ent/entc/gen"
	"entgo.io/ent/schema/field"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/migrations"
)

var types = map[field.Type]string{
	field.TypeUUID: "uuid", field.TypeString: "text", field.TypeInt64: "bigint", field.TypeBool: "boolean",
	field.TypeTime: "timestamp with time zone", field.TypeJSON: "json", field.TypeBytes: "bytea",
}

type column struct {
	Table, Name, Type   string
	Nullable, Generated bool
	Key, Default        bool
}

// What ent believes of the tables is what the migrations made of them.
func TestEntAgrees(t *testing.T) {
	t.Parallel()
	ctx, url := t.Context(), pgtest.URL(t)
	if err := migrations.Up(ctx, url); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `
		select c.table_name, c.column_name, c.data_type, c.is_nullable = 'YES', c.is_generated <> 'NEVER',
			exists (select from information_schema.key_column_usage k join information_schema.table_constraints using (constraint_name, table_name)
				where constraint_type = 'PRIMARY KEY' and k.table_name = c.table_name and k.column_name = c.column_name),
			c.column_default is not null or c.is_identity = 'YES'
		from information_schema.columns c where c.table_schema = 'public'`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	if err != nil {
		t.Fatal(err)
	}

	graph, err := entc.LoadGraph("../ent/schema", &gen.Config{})
	if err != nil {
		t.Fatal(err)
	}
	tables, err := graph.Tables()
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) == 0 {
		t.Fatal("ent has no tables")
	}
	for _, table := range tables {
		there := map[string]column{}
		for _, c := range all {
			if c.Table == table.Name {
				there[c.Name] = c
			}
		}
		if len(there) == 0 {
			t.Errorf("ent's table %s does not exist", table.Name)
		}
		for _, want := range table.Columns {
			got, ok := there[want.Name]
			delete(there, want.Name)
			primary := len(table.PrimaryKey) == 1 && table.PrimaryKey[0].Name == want.Name
			switch {
			case !ok:
				t.Errorf("%s.%s does not exist", table.Name, want.Name)
			case got.Type != types[want.Type]:
				t.Errorf("%s.%s is %s, ent believes %s", table.Name, want.Name, got.Type, want.Type)
			case got.Nullable != want.Nullable:
				t.Errorf("%s.%s: nullable %v, ent believes %v", table.Name, want.Name, got.Nullable, want.Nullable)
			case got.Generated:
				t.Errorf("%s.%s is generated: ent would write it", table.Name, want.Name)
			case got.Key != primary:
				t.Errorf("%s.%s: primary key %v, ent believes %v", table.Name, want.Name, got.Key, primary)
			case want.Default != nil && !got.Default:
				t.Errorf("%s.%s has no default, ent's is %v", table.Name, want.Name, want.Default)
			}
		}
		for name, c := range there {
			if !c.Nullable && !c.Default && !c.Generated {
				t.Errorf("%s.%s must be written, and ent does not know it", table.Name, name)
			}
		}
	}
}
