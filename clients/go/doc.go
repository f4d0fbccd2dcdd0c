// Package orderflow is the Go client of Orderflow: the REST API, the events of your orders as they
// happen, and the verification of webhooks.
//
// [Client] has a method for every operation of the API, generated from its OpenAPI document
// (package api), such as PlaceOrderWithResponse. Its requests are authenticated, carry an
// idempotency key where the API takes one, and are repeated after failures that may pass if
// repeating them is safe. A response that is not 2xx is an error of type [*Problem].
//
// [Client.Follow] iterates over events and reconnects by itself without leaving one out.
// [Verifier] verifies the signatures of webhooks.
package orderflow
