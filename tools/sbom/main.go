// Command sbom writes a CycloneDX SBOM of a binary: its Go modules, which the linker recorded in it,
// the files that go:embed put into it, with their SHA-256, and the software that these files are
// copies of, which tools that read Go modules do not see.
//
//	sbom -root .. -binary bin/orderflow -version v1.2.3 -out dist/orderflow.cdx.json
//
// Paths are relative to the root. The checkout must be the one that the binary was built from; a file whose bytes are not in the
// binary is an error. The same binary and version give the same bytes. The time of the document is
// SOURCE_DATE_EPOCH (seconds since 1970), or absent.
package main

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("sbom", flag.ContinueOnError)
	root := flags.String("root", ".", "the checkout that the binary was built from")
	file := flags.String("binary", "", "the binary, relative to the root")
	version := flags.String("version", "", "the version of the product")
	out := flags.String("out", "", "where the SBOM is written, relative to the root")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *file == "" || *version == "" || *out == "" || flags.NArg() > 0 {
		return errors.New("-binary, -version and -out are needed, and nothing else")
	}

	at, err := epoch(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	b, err := open(within(*root, *file))
	if err != nil {
		return err
	}
	packages, err := embedded(*root, b.info)
	if err != nil {
		return err
	}
	bom, err := describe(b, packages, *version, at)
	if err != nil {
		return err
	}
	if err := write(within(*root, *out), bom); err != nil {
		return err
	}
	fmt.Printf("%s: %d components, and the files in them.\n", *out, len(*bom.Components))
	return nil
}

func within(root, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(root, file)
}

// binary is an executable with what the linker recorded in it.
type binary struct {
	content []byte
	info    *buildinfo.BuildInfo
}

func open(file string) (*binary, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &binary{content, info}, nil
}

// epoch returns the zero time for an empty text.
func epoch(seconds string) (time.Time, error) {
	if seconds == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(n, 0).UTC(), nil
}

func write(file string, bom *cdx.BOM) error {
	raw, err := encode(bom)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o644)
}
