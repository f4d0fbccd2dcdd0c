package simulated

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Handler serves a bank to other processes, so that it survives when they are killed. POST
// /authorize, /capture, /void and /refund take a call and return {"reference"} or {"error"};
// GET /journal lists the effects, with Remember. It has no authentication and is for tests on a
// loopback address.
func Handler(b *Bank) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /"+Authorize, answering(func(ctx context.Context, q request) (string, error) {
		return b.Authorize(ctx, q.authorization())
	}))
	mux.HandleFunc("POST /"+Capture, answering(func(ctx context.Context, q request) (string, error) {
		return "", b.Capture(ctx, payments.Capture{Key: q.Key, Reference: q.Reference, Amount: q.Amount})
	}))
	mux.HandleFunc("POST /"+Void, answering(func(ctx context.Context, q request) (string, error) {
		v := payments.Void{Key: q.Key, Reference: q.Reference}
		if q.Of != nil {
			v.Of = q.Of.authorization()
		}
		return "", b.Void(ctx, v)
	}))
	mux.HandleFunc("POST /"+Refund, answering(func(ctx context.Context, q request) (string, error) {
		return b.Refund(ctx, payments.Refund{Key: q.Key, Reference: q.Reference, Amount: q.Amount})
	}))
	mux.HandleFunc("GET /journal", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, b.Effects())
	})
	return mux
}

// request is any call on the wire.
type request struct {
	Key       string      `json:"key"`
	Reference string      `json:"reference,omitempty"`
	OrderID   uuid.UUID   `json:"orderId,omitzero"`
	Amount    money.Money `json:"amount,omitzero"`
	Method    string      `json:"method,omitempty"`
	Of        *request    `json:"of,omitempty"` // the authorisation of a void
}

func (q request) authorization() payments.Authorization {
	return payments.Authorization{Key: q.Key, OrderID: q.OrderID, Amount: q.Amount, Method: q.Method}
}

func requestOf(a payments.Authorization) request {
	return request{Key: a.Key, OrderID: a.OrderID, Amount: a.Amount, Method: a.Method}
}

// response is any answer on the wire.
type response struct {
	Reference string   `json:"reference,omitempty"`
	Error     *problem `json:"error,omitempty"`
}

type problem struct {
	Kind   string `json:"kind"` // declined, rejected, away or retry
	Code   string `json:"code,omitempty"`
	Detail string `json:"detail,omitempty"`
	Wait   int64  `json:"waitMs,omitempty"`
}

const maxBody = 64 << 10

func answering(call func(context.Context, request) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q request
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&q); err != nil {
			write(w, http.StatusBadRequest, response{Error: &problem{Kind: "rejected", Code: "malformed", Detail: err.Error()}})
			return
		}
		reference, err := call(r.Context(), q)
		if err != nil {
			status, p := describe(err)
			write(w, status, response{Error: p})
			return
		}
		write(w, http.StatusOK, response{Reference: reference})
	}
}

func describe(err error) (int, *problem) {
	if e, ok := errors.AsType[*payments.Declined](err); ok {
		return http.StatusPaymentRequired, &problem{Kind: "declined", Code: e.Code, Detail: e.Detail}
	}
	if e, ok := errors.AsType[*payments.Rejected](err); ok {
		return http.StatusUnprocessableEntity, &problem{Kind: "rejected", Code: e.Code, Detail: e.Detail}
	}
	if e, ok := errors.AsType[*payments.Unavailable](err); ok {
		return http.StatusServiceUnavailable, &problem{Kind: "away", Detail: err.Error(), Wait: e.RetryAfter.Milliseconds()}
	}
	return http.StatusInternalServerError, &problem{Kind: "retry", Detail: err.Error()}
}

func (p *problem) err() error {
	switch p.Kind {
	case "declined":
		return &payments.Declined{Code: p.Code, Detail: p.Detail}
	case "rejected":
		return &payments.Rejected{Code: p.Code, Detail: p.Detail}
	case "away":
		return payments.NewAway(time.Duration(p.Wait)*time.Millisecond, errors.New(p.Detail))
	default:
		return errors.New(p.Detail)
	}
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has disconnected and will retry
}
