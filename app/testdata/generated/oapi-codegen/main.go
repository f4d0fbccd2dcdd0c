// This program places an order with the client that oapi-codegen generates.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"example.com/generated/client"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	bearer := client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+os.Getenv("ORDERFLOW_TOKEN"))
		return nil
	})
	c, err := client.NewClientWithResponses(os.Getenv("ORDERFLOW_URL"), bearer)
	if err != nil {
		return err
	}
	placed, err := c.PlaceOrderWithResponse(ctx, nil, client.OrderRequest{Items: []client.OrderRequestItem{{Sku: "KETTLE", Quantity: 1}}})
	if err != nil {
		return err
	}
	if placed.JSON201 == nil {
		return fmt.Errorf("place an order: %s", placed.Body)
	}
	page, err := c.ListEventsWithResponse(ctx, nil)
	if err != nil {
		return err
	}
	if page.JSON200 == nil || len(page.JSON200.Data) == 0 {
		return fmt.Errorf("list events: %s", page.Body)
	}
	event, err := page.JSON200.Data[0].AsOrderCreatedEvent()
	if err != nil {
		return err
	}
	if event.Data.Order.Id != placed.JSON201.Id {
		return fmt.Errorf("the first event is of the order %s", event.Data.Order.Id)
	}
	missing, err := c.PlaceOrderWithResponse(ctx, nil, client.OrderRequest{Items: []client.OrderRequestItem{{Sku: "NOTHING", Quantity: 1}}})
	if err != nil {
		return err
	}
	if p := missing.ApplicationproblemJSONDefault; p == nil || p.Code != "invalid" {
		return fmt.Errorf("the problem is %s", missing.Body)
	}
	return nil
}
