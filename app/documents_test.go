package app

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWriteDocuments writes the documents of the API into the folder DOCUMENTS, for tools/lint/run.
func TestWriteDocuments(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("DOCUMENTS")
	if dir == "" {
		t.Skip("DOCUMENTS names no folder")
	}
	s := serveTest(t, settings(t))
	for _, name := range []string{"openapi.json", "asyncapi.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), s.anonymous().want(200, "GET", "/"+name, "").raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
