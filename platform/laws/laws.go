// Package laws states what must always hold in the database, so that `orderflow verify` and the
// tests can check it. Each module states the laws of its own tables; the program adds those that
// relate the tables of several modules.
package laws

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Law is one statement about the database.
type Law struct {
	// Name identifies the law in reports. It never changes.
	Name string
	// Spec lists the rules of docs/spec.md that the law checks.
	Spec string
	// Says is the law in one sentence.
	Says string
	// Query returns a row for each subject that breaks the law: the subject and a detail, both
	// text. A law without a query is checked by code that walks over the rows of a module.
	Query string
	// Walk is the check of a law that SQL cannot express. It calls broken for each subject that
	// breaks the law. It is called once, in the snapshot of all laws; Query must be empty.
	Walk func(ctx context.Context, q postgres.Querier, broken func(subject, detail string)) error
	// Args are the arguments of the query.
	Args []any
	// Settled marks a law that holds only when no job is live and no order is being processed.
	Settled bool
}

// Check runs the query or the walk of a law and calls broken for each violation. Rows stream, so
// memory does not grow with their number. It does nothing for a law without both.
func (l Law) Check(ctx context.Context, q postgres.Querier, broken func(subject, detail string)) error {
	if l.Walk != nil {
		if err := l.Walk(ctx, q, broken); err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
		return nil
	}
	if l.Query == "" {
		return nil
	}
	rows, err := q.Query(ctx, l.Query, l.Args...)
	if err != nil {
		return fmt.Errorf("%s: %w", l.Name, err)
	}
	var subject, detail string
	_, err = pgx.ForEachRow(rows, []any{&subject, &detail}, func() error {
		broken(subject, detail)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", l.Name, err)
	}
	return nil
}
