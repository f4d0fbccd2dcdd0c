package events_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// A change and its event commit together. A consumer continues after the cursor that it stored.
func Example() {
	ctx := context.Background()
	address, drop, err := pgtest.ExampleURL() // a program uses DATABASE_URL
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	if err := appendAndRead(ctx, address); err != nil {
		fmt.Println(err)
	}
	// Output:
	// order.created 1
	// order.confirmed 2
	// true
	// order.confirmed
}

func appendAndRead(ctx context.Context, address string) error {
	pool, err := postgres.Open(ctx, address, 2)
	if err != nil {
		return err
	}
	defer pool.Close()
	log, err := events.OpenLog(ctx, pool)
	if err != nil {
		return err
	}
	start, err := log.Head(ctx)
	if err != nil {
		return err
	}

	order, user := uuid.New(), uuid.New()
	for i, kind := range []string{"order.created", "order.confirmed"} {
		e := events.Event{
			OrderID: order, UserID: user, Version: int64(i) + 1, Type: kind,
			Data: json.RawMessage(`{}`), Actor: identity.System, At: events.Now(),
		}
		err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			return events.Append(ctx, tx, []events.Event{e}) // beside the change itself
		})
		if err != nil {
			return err
		}
	}

	page, err := log.After(ctx, start, user, 10)
	if err != nil {
		return err
	}
	for _, e := range page.Events {
		fmt.Println(e.Type, e.Version)
	}
	stored := page.Events[0].Cursor.String()

	cursor, err := events.ParseCursor(stored)
	if err != nil {
		return err
	}
	rest, err := log.After(ctx, cursor, user, 10)
	if err != nil {
		return err
	}
	fmt.Println(rest.Next == page.Next)
	fmt.Println(rest.Events[0].Type)
	return nil
}
