package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

type greeting struct {
	Text string `json:"text"`
}

type greetingInput struct {
	Name string `path:"name" maxLength:"20"`
}

type greetingOutput struct{ Body greeting }

// A typed route validates its input and responds with JSON, or with a problem document.
func ExampleHandle() {
	app := fiber.New(web.Config())
	api := web.New(app, web.Options{Title: "Example"})
	web.Handle(api, web.Route{Method: "GET", Path: "/v1/greetings/{name}", Name: "get-greeting", Role: identity.Anyone},
		func(_ context.Context, in *greetingInput) (*greetingOutput, error) {
			if in.Name == "unknown" {
				return nil, fault.NotFound("greeting")
			}
			return &greetingOutput{greeting{"Hello, " + in.Name}}, nil
		})

	for _, name := range []string{"alice", "unknown"} {
		response, err := app.Test(httptest.NewRequest(http.MethodGet, "/v1/greetings/"+name, nil), -1)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		fmt.Println(response.StatusCode, response.Header.Get("Content-Type"))
		if response.StatusCode == 200 {
			fmt.Println(string(body))
		}
	}
	// Output:
	// 200 application/json
	// {"text":"Hello, alice"}
	// 404 application/problem+json
}
