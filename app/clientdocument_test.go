package app

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/golden"
)

// SPEC G11: the document from which the Go client is generated is the one that the server serves. After an
// update, `go generate -C clients/go ./...` generates the client again.
func TestClientDocument(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))

	a := s.anonymous().want(200, "GET", "/openapi.json", "")

	var b bytes.Buffer
	if err := json.Indent(&b, a.raw, "", " "); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "../clients/openapi.json", b.String()+"\n")
}
