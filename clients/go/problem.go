package orderflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Problem is a response that is not 2xx, as the API describes it (RFC 9457). If a proxy answered
// with something else, Code is empty and Detail is the beginning of the body.
//
//	if problem, ok := errors.AsType[*orderflow.Problem](err); ok && problem.Code == "invalid" {
type Problem struct {
	// Type identifies the kind of problem; it may be an address of its documentation.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is a sentence for people. It may change.
	Detail   string `json:"detail"`
	Instance string `json:"instance"`
	// Code is for programs. It does not change.
	Code string `json:"code"`
	// RequestID is the id of the request in the logs of the server.
	RequestID string `json:"requestId"`
	// Errors names everything that is wrong with the input, at once.
	Errors []Field `json:"errors"`
	// RetryAfter is how long the server asks to wait; zero if it does not.
	RetryAfter time.Duration `json:"-"`
	// Body is the response, which may have further members.
	Body []byte `json:"-"`
}

// Field is one mistake in the input.
type Field struct {
	// Pointer is a JSON pointer into the body (RFC 6901), or /query/NAME, /path/NAME or /header/NAME.
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "orderflow: %d", p.Status)
	if p.Code != "" {
		b.WriteString(" " + p.Code)
	}
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	for i, f := range p.Errors {
		separator := ", "
		if i == 0 {
			separator = " "
		}
		fmt.Fprintf(&b, "%s%s %s", separator, f.Pointer, f.Message)
	}
	if p.RequestID != "" {
		b.WriteString(" (request " + p.RequestID + ")")
	}
	return b.String()
}

// IsCode reports whether err is or wraps a [*Problem] with one of the codes.
func IsCode(err error, codes ...string) bool {
	var p *Problem
	if !errors.As(err, &p) {
		return false
	}
	return slices.Contains(codes, p.Code)
}

// IsStatus reports whether err is or wraps a [*Problem] with the HTTP status.
func IsStatus(err error, status int) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == status
}

// The largest problem that is read, and how much of another body becomes its detail.
const (
	problemLimit = 256 << 10
	detailLimit  = 200
)

// problemOf reads and closes the body of a response.
func problemOf(res *http.Response) *Problem {
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, problemLimit))
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Code == "" {
		p = &Problem{Title: http.StatusText(res.StatusCode), Detail: strings.TrimSpace(string(body[:min(len(body), detailLimit)]))}
	}
	p.Status, p.Body = res.StatusCode, body
	p.RetryAfter = retryAfter(res.Header, time.Now())
	return p
}
