package orderflow_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	orderflow "github.com/orderflow-dev/orderflow/clients/go"
	"github.com/orderflow-dev/orderflow/clients/go/api"
)

// server stands for a real one: it takes orders of kettles, and sends events.
func server() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/orders", func(w http.ResponseWriter, r *http.Request) {
		if order, _ := io.ReadAll(r.Body); !bytes.Contains(order, []byte("KETTLE")) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"status":422,"code":"invalid","detail":"See errors.","errors":[{"pointer":"/items/0/sku","code":"unknown-sku","message":"is not in the catalogue"}]}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"id":"0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11","status":"PENDING"}`)
	})
	mux.HandleFunc("GET /v1/events/stream", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "event: ready\ndata: {\"type\":\"ready\",\"cursor\":\"c0\"}\n\n")
		fmt.Fprint(w, "data: {\"id\":\"o/1\",\"type\":\"order.shipped\",\"cursor\":\"c1\",\"data\":{\"status\":\"SHIPPED\",\"tracking\":\"1Z\"}}\n\n")
		fmt.Fprint(w, "data: {\"id\":\"o/2\",\"type\":\"order.completed\",\"cursor\":\"c2\",\"data\":{\"status\":\"COMPLETED\"}}\n\n")
	})
	return httptest.NewServer(mux)
}

func Example() {
	s := server()
	defer s.Close()
	client, err := orderflow.New(s.URL, orderflow.APIKey("ofk_..."))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, sku := range []string{"KETTLE", "CATTLE"} {
		placed, err := client.PlaceOrderWithResponse(context.Background(), nil, api.OrderRequest{
			Items: []api.OrderRequestItem{{SKU: sku, Quantity: 1}},
		})
		if problem, ok := errors.AsType[*orderflow.Problem](err); ok && problem.Code == "invalid" {
			fmt.Println(problem.Errors[0].Pointer, problem.Errors[0].Code)
			continue
		} else if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(placed.JSON201.Status)
	}
	// Output:
	// PENDING
	// /items/0/sku unknown-sku
}

func ExampleClient_Follow() {
	s := server()
	defer s.Close()
	client, err := orderflow.New(s.URL, orderflow.APIKey("ofk_..."))
	if err != nil {
		fmt.Println(err)
		return
	}
	var stored string // in a database, beside what the events change

	for event, err := range client.Follow(context.Background(), orderflow.FollowOptions{After: stored, Transport: orderflow.ServerSentEvents}) {
		var reset *orderflow.ResetError
		switch {
		case errors.As(err, &reset):
			stored = reset.Cursor // and read afresh what the events would have told
			continue
		case err != nil:
			fmt.Println(err)
			return
		}
		if data, ok := event.Data.(*orderflow.OrderShipped); ok {
			fmt.Println("shipped as", *data.Tracking)
		}
		stored = event.Cursor
		if event.Type == orderflow.TypeOrderCompleted {
			break
		}
	}
	fmt.Println("resumes after", stored)
	// Output:
	// shipped as 1Z
	// resumes after c2
}

func ExampleVerifier_Handler() {
	secret := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("example."), 4))
	verifier, err := orderflow.NewVerifier(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	hooks := httptest.NewServer(verifier.Handler(func(_ context.Context, event *orderflow.Event) error {
		fmt.Println(event.Type, event.DeliveryNumber)
		return nil // an error has the message sent again later
	}))
	defer hooks.Close()

	body := []byte(`{"id":"o/1","type":"order.shipped","deliverynumber":27,"data":{"status":"SHIPPED"}}`)
	for _, key := range []string{secret, "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 24))} {
		res, err := deliver(hooks.URL, key, body)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(res)
	}
	// Output:
	// order.shipped 27
	// 204 No Content
	// 401 Unauthorized
}

// deliver does what the server does.
func deliver(url, secret string, body []byte) (status string, err error) {
	key, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return "", err
	}
	now := time.Now()
	signature, err := key.Sign("msg_1", now, body)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Webhook-Id", "msg_1")
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", signature)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	return res.Status, res.Body.Close()
}
