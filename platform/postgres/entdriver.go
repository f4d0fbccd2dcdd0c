package postgres

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
	"github.com/jackc/pgx/v5"
)

// Driver lets ent run on a pool or on an open transaction:
//
//	ent.NewClient(ent.Driver(postgres.Driver(tx)))
//
// ent opens its own transaction for UpdateOne and for edges. On an open transaction that is a
// no-op. On a pool it is an error, so UpdateOne and client.Tx of ent need a transaction of InTx.
//
// Use Violates to detect a violated constraint: ent.IsConstraintError reads the message of the
// error, which a server may send in another language.
func Driver(q Querier) dialect.Driver { return &driver{q} }

type driver struct{ q Querier }

func (d *driver) Dialect() string { return dialect.Postgres }
func (d *driver) Close() error    { return nil }

func (d *driver) Tx(context.Context) (dialect.Tx, error) {
	if _, open := d.q.(pgx.Tx); !open {
		return nil, errors.New("postgres: ent needs a transaction for this; open it with InTx")
	}
	return dialect.NopTx(d), nil
}

// Exec implements ent's ExecQuerier. The argument v is nil or a *sql.Result.
func (d *driver) Exec(ctx context.Context, query string, args, v any) error {
	list, err := arguments(args)
	if err != nil {
		return err
	}
	tag, err := d.q.Exec(ctx, query, list...)
	if err != nil {
		return err
	}
	if out, ok := v.(*sql.Result); ok {
		*out = result(tag.RowsAffected())
	}
	return nil
}

// Query implements ent's ExecQuerier. The argument v is a *sql.Rows.
func (d *driver) Query(ctx context.Context, query string, args, v any) error {
	out, ok := v.(*sql.Rows)
	if !ok {
		return fmt.Errorf("postgres: ent asked for rows in a %T", v)
	}
	list, err := arguments(args)
	if err != nil {
		return err
	}
	rows, err := d.q.Query(ctx, query, list...)
	if err != nil {
		return err
	}
	*out = sql.Rows{ColumnScanner: scanner{rows}}
	return nil
}

func arguments(args any) ([]any, error) {
	list, ok := args.([]any)
	if !ok {
		return nil, fmt.Errorf("postgres: ent gave arguments as %T", args)
	}
	return list, nil
}

type result int64

func (r result) LastInsertId() (int64, error) { return 0, fmt.Errorf("postgres: no insert ids") }
func (r result) RowsAffected() (int64, error) { return int64(r), nil }

// scanner adapts pgx.Rows to the interface of database/sql.
type scanner struct{ pgx.Rows }

func (s scanner) Close() error {
	s.Rows.Close()
	return s.Err()
}

func (s scanner) Columns() ([]string, error) {
	fields := s.FieldDescriptions()
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].Name
	}
	return names, nil
}

func (s scanner) ColumnTypes() ([]*stdsql.ColumnType, error) { return nil, nil }
func (s scanner) NextResultSet() bool                        { return false }
