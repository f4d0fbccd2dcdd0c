package web

import (
	"net/http"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

var statuses = map[fault.Kind]int{
	fault.KindInternal:           http.StatusInternalServerError,
	fault.KindMalformed:          http.StatusBadRequest,
	fault.KindUnauthenticated:    http.StatusUnauthorized,
	fault.KindForbidden:          http.StatusForbidden,
	fault.KindNotFound:           http.StatusNotFound,
	fault.KindNotAllowed:         http.StatusMethodNotAllowed,
	fault.KindConflict:           http.StatusConflict,
	fault.KindPreconditionFailed: http.StatusPreconditionFailed,
	fault.KindTooLarge:           http.StatusRequestEntityTooLarge,
	fault.KindUnsupportedMedia:   http.StatusUnsupportedMediaType,
	fault.KindMisdirected:        http.StatusMisdirectedRequest,
	fault.KindInvalid:            http.StatusUnprocessableEntity,
	fault.KindRateLimited:        http.StatusTooManyRequests,
	fault.KindUnavailable:        http.StatusServiceUnavailable,
	fault.KindRequestTimeout:     http.StatusRequestTimeout,
	fault.KindUpgradeRequired:    http.StatusUpgradeRequired,
	fault.KindHeadersTooLarge:    http.StatusRequestHeaderFieldsTooLarge,
}

// StatusOf returns the HTTP status of faults of a kind.
func StatusOf(k fault.Kind) int { return statuses[k] }
