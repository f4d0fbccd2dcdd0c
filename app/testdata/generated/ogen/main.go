// This program places an order with the client that ogen generates.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"example.com/generated/client"
)

type credentials struct{}

func (credentials) BearerAuth(context.Context, client.OperationName) (client.BearerAuth, error) {
	return client.BearerAuth{Token: os.Getenv("ORDERFLOW_TOKEN")}, nil
}

func (credentials) ApiKeyAuth(context.Context, client.OperationName) (client.ApiKeyAuth, error) {
	return client.ApiKeyAuth{Token: os.Getenv("ORDERFLOW_TOKEN")}, nil
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	c, err := client.NewClient(os.Getenv("ORDERFLOW_URL"), credentials{})
	if err != nil {
		return err
	}
	order := func(sku string) *client.OrderRequest {
		return &client.OrderRequest{Items: []client.OrderRequestItem{{Sku: sku, Quantity: 1}}}
	}
	if _, err := c.PlaceOrder(ctx, order("KETTLE"), client.PlaceOrderParams{}); err != nil {
		return fmt.Errorf("place an order: %w", err)
	}
	page, err := c.ListEvents(ctx, client.ListEventsParams{})
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	if len(page.Data) == 0 {
		return errors.New("there are no events")
	}
	return nil
}
