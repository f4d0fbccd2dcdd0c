package postgres_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// The function may run several times, so it keeps nothing of an attempt that failed.
func ExampleInTx() {
	ctx := context.Background()
	address, drop, err := pgtest.ExampleURL() // a program uses DATABASE_URL
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	pool, err := postgres.Open(ctx, address, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()

	var sum int
	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, "select 1 + 2").Scan(&sum)
	})
	fmt.Println(sum, err)

	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "select 1 / 0")
		return err
	})
	fmt.Println(postgres.Code(err), postgres.Unavailable(err))
	// Output:
	// 3 <nil>
	// 22012 false
}

// A read-only server is unavailable: the request may succeed later. A deadlock is the statement's
// own failure.
func ExampleUnavailable() {
	readOnly := &pgconn.PgError{Code: "25006"}
	deadlock := &pgconn.PgError{Code: "40P01"}

	fmt.Println(postgres.Unavailable(readOnly), postgres.Unavailable(deadlock))
	// Output: true false
}
