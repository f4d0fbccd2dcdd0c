// Command generate writes the generated files of this module from the description of the API,
// ../openapi.json. It runs oapi-codegen, which is pinned in the module tools.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// object is a JSON object.
type object = map[string]any

// run generates the files of the module in a folder.
func run(root string) error {
	document, err := read(filepath.Join(root, "..", "openapi.json"))
	if err != nil {
		return err
	}

	keyed := trim(document)
	types, err := eventsOf(document)
	if err != nil {
		return err
	}
	if err := generateAPI(root, document); err != nil {
		return err
	}
	if err := write(filepath.Join(root, "events.gen.go"), eventsTemplate, types); err != nil {
		return err
	}
	return write(filepath.Join(root, "keyed.gen.go"), keyedTemplate, keyed)
}

func read(path string) (object, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var document object
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return document, nil
}

// generateAPI runs oapi-codegen on the document.
func generateAPI(root string, document object) error {
	raw, err := json.Marshal(document)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "openapi-*.json")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(raw); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	cmd := exec.Command("go", "tool", "-modfile=../../tools/go.mod", "oapi-codegen", "-config", "oapi-codegen.yaml", file.Name()) //nolint:noctx // the pinned tool, as long as it takes
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run oapi-codegen: %w", err)
	}
	return nil
}
