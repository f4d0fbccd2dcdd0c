package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const root = "../.."

// built is the product's binary, and the packages of this checkout with embedded files.
type built struct {
	binary   *binary
	packages []goPackage
}

var setup = sync.OnceValues(func() (*built, error) {
	dir, err := os.MkdirTemp("", "sbom")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "orderflow")
	compile := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "./cmd/orderflow")
	compile.Dir, compile.Stderr = root, os.Stderr
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := compile.Run(); err != nil {
		return nil, err
	}
	b, err := open(file)
	if err != nil {
		return nil, err
	}
	packages, err := embedded(root, b.info)
	return &built{b, packages}, err
})

func sbom(t *testing.T) (*cdx.BOM, *built) {
	t.Helper()
	b, err := setup()
	if err != nil {
		t.Fatal(err)
	}
	bom, err := describe(b.binary, b.packages, "v1.2.3", time.Unix(1_800_000_000, 0).UTC())
	if err != nil {
		t.Fatal(err)
	}
	return bom, b
}

// every walks over the components and those inside of them, with the owner of each.
func every(bom *cdx.BOM, visit func(c, owner cdx.Component)) {
	var walk func(list *[]cdx.Component, owner cdx.Component)
	walk = func(list *[]cdx.Component, owner cdx.Component) {
		if list == nil {
			return
		}
		for _, c := range *list {
			visit(c, owner)
			walk(c.Components, c)
		}
	}
	walk(bom.Components, cdx.Component{})
}

// The files are found here without `go list`: by the directives in the source.
func TestEveryEmbeddedFileIsListed(t *testing.T) {
	t.Parallel()
	bom, b := sbom(t)
	want := directives(t)
	if len(want) < 30 {
		t.Fatalf("found %d embedded files in the source", len(want))
	}

	got := map[string]string{}
	every(bom, func(c, _ cdx.Component) {
		if name, ours := strings.CutPrefix(c.BOMRef, "file:"+b.binary.info.Main.Path+"/"); ours {
			got[name] = (*c.Hashes)[0].Value
		}
	})

	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("%s is embedded with the SHA-256 %s, the SBOM has %q", name, sum, got[name])
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Errorf("%s is in the SBOM, no go:embed directive names it", name)
		}
	}
}

// directives returns the SHA-256 of the files that the go:embed directives of the root module name.
func directives(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			if path != root && (err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata") {
				return fs.SkipDir // a module of its own, or no packages
			}
			return nil
		case !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, group := range source.Comments {
			for _, line := range group.List {
				patterns, found := strings.CutPrefix(line.Text, "//go:embed ")
				if !found {
					continue
				}
				for pattern := range strings.FieldsSeq(patterns) {
					expand(t, all, filepath.Join(filepath.Dir(path), pattern))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func expand(t *testing.T, all map[string]string, pattern string) {
	t.Helper()
	matches, err := filepath.Glob(pattern)
	if err != nil || len(matches) == 0 {
		t.Fatalf("%s: %d matches, %v", pattern, len(matches), err)
	}
	for _, match := range matches {
		err := filepath.WalkDir(match, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			sum := sha256.Sum256(content)
			all[filepath.ToSlash(name)] = hex.EncodeToString(sum[:])
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryModuleIsListed(t *testing.T) {
	t.Parallel()
	bom, b := sbom(t)

	got := map[string]bool{}
	every(bom, func(c, _ cdx.Component) {
		if strings.HasPrefix(c.PackageURL, "pkg:golang/") {
			got[strings.ReplaceAll(c.PackageURL, "%2B", "+")] = true
		}
	})

	want := map[string]bool{"pkg:golang/std@" + strings.TrimPrefix(b.binary.info.GoVersion, "go"): true}
	for _, m := range b.binary.info.Deps {
		want["pkg:golang/"+m.Path+"@"+m.Version] = true
	}
	if len(want) < 50 || !maps.Equal(got, want) {
		t.Errorf("the SBOM has %d Go modules, the binary %d:\n%v\n%v", len(got), len(want), slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// What is copied or derived from elsewhere is found by scanners, which look for package URLs.
func TestForeignFilesNameTheirOrigin(t *testing.T) {
	t.Parallel()
	bom, _ := sbom(t)

	found := map[string]string{}
	every(bom, func(c, owner cdx.Component) {
		found[c.Name] = owner.PackageURL
		if c.Pedigree != nil {
			found[c.Name] += "made from " + (*c.Pedigree.Ancestors)[0].PackageURL
		}
		if c.Name == "swagger-ui-dist" && (c.Licenses == nil || (*c.ExternalReferences)[0].Hashes == nil) {
			t.Error("swagger-ui-dist has no licence or no hash of its archive")
		}
	})

	for name, want := range map[string]string{
		"app/pages/swagger/swagger-ui-bundle.js.gz": "pkg:npm/swagger-ui-dist@",
		"app/pages/swagger/swagger-ui.css.gz":       "pkg:npm/swagger-ui-dist@",
		"dompurify":                                 "pkg:npm/swagger-ui-dist@",
		"modules/users/common.txt.gz":               "made from pkg:npm/zxcvbn@",
	} {
		if !strings.HasPrefix(found[name], want) {
			t.Errorf("%s is of %q, want %s", name, found[name], want)
		}
	}
}

// The schema is in the module of the library, whose checksum go.sum has.
func TestSBOMIsValid(t *testing.T) {
	t.Parallel()
	bom, _ := sbom(t)
	raw, err := encode(bom)
	if err != nil {
		t.Fatal(err)
	}
	schema := schemaOf(t)

	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Error(err)
	}
	refs := map[string]bool{}
	every(bom, func(c, _ cdx.Component) {
		if refs[c.BOMRef] {
			t.Errorf("%s is there twice", c.BOMRef) // which the schema cannot say
		}
		refs[c.BOMRef] = true
	})

	document.(map[string]any)["components"].([]any)[0].(map[string]any)["type"] = "novel"
	if schema.Validate(document) == nil {
		t.Error("a component of an unknown type is valid")
	}
}

func schemaOf(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	const base = "http://cyclonedx.org/schema/"
	for url, name := range map[string]string{
		"bom-1.6.schema.json":  "bom-1.6.schema.json",
		"spdx.schema.json":     "spdx.schema.json",
		"jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		raw, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "schema", name))
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(base+url, document); err != nil {
			t.Fatal(err)
		}
	}
	return compiler.MustCompile(base + "bom-1.6.schema.json")
}

func TestSBOMIsDeterministic(t *testing.T) {
	t.Parallel()
	first, b := sbom(t)
	packages, err := embedded(root, b.binary.info)
	if err != nil {
		t.Fatal(err)
	}
	second, err := describe(b.binary, packages, "v1.2.3", time.Unix(1_800_000_000, 0).UTC())
	if err != nil {
		t.Fatal(err)
	}
	other, err := describe(b.binary, packages, "v1.2.4", time.Time{})
	if err != nil {
		t.Fatal(err)
	}

	one, _ := encode(first)
	two, _ := encode(second)
	if len(one) == 0 || !bytes.Equal(one, two) {
		t.Error("the same binary has two SBOMs")
	}
	if first.SerialNumber == other.SerialNumber || other.Metadata.Timestamp != "" {
		t.Errorf("another version has the serial number %s and the time %q", other.SerialNumber, other.Metadata.Timestamp)
	}
}

func TestAnotherCheckoutIsRefused(t *testing.T) {
	t.Parallel()
	_, b := sbom(t)

	for name, change := range map[string]func(*goPackage){
		"is not in the binary": func(p *goPackage) {
			p.files = slices.Clone(p.files)
			p.files[0].content = append([]byte("changed since "), p.files[0].content...)
		},
		"the binary has not": func(p *goPackage) { p.main, p.module = false, "example.com/newer@v2.0.0" },
	} {
		packages := slices.Clone(b.packages)
		i := slices.IndexFunc(packages, func(p goPackage) bool { return p.main })
		change(&packages[i])
		if _, err := describe(b.binary, packages, "v1.2.3", time.Time{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want: %s", err, name)
		}
	}
}

func TestManifestsAreCompared(t *testing.T) {
	t.Parallel()
	for want, files := range map[string]string{
		"has another SHA-256": `{"a.txt": "00"}`,
		"is not embedded":     `{"b.txt": "00"}`,
	} {
		dir := t.TempDir()
		manifest := `{"package": "a", "version": "1", "files": ` + files + `}`
		if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		p := goPackage{files: []file{{"a.txt", []byte("a")}}}
		if err := p.readOrigins(dir, "."); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want: %s", err, want)
		}
	}
}
