package web

import (
	"context"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

type hiddenInput struct {
	ID string `path:"id"`
}

// huma passes over unexported embedded structs: the id would always be empty.
func TestHandlePanicsOverHiddenInput(t *testing.T) {
	t.Parallel()
	api := New(fiber.New(), Options{})
	defer func() {
		if recover() == nil {
			t.Error("registered")
		}
	}()

	Handle(api, Route{Method: "GET", Path: "/v1/things/{id}", Name: "get-thing", Role: identity.Anyone},
		func(context.Context, *struct{ hiddenInput }) (*struct{}, error) { return nil, nil })
}
