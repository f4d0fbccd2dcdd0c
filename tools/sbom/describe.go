package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// describe makes the SBOM. The modules and the packages of other ecosystems are components; a file
// is a component inside of the one that it belongs to, and files of the product stand for themselves.
func describe(b *binary, packages []goPackage, version string, at time.Time) (*cdx.BOM, error) {
	product := cdx.Component{
		Type: cdx.ComponentTypeApplication, BOMRef: "product", Name: path.Base(b.info.Path), Version: version,
		PackageURL: purl("golang", b.info.Main.Path, version),
		Hashes:     hashes(file{content: b.content}.sha256()),
	}
	all := modules(b.info)
	for _, p := range packages {
		if err := place(&all, b, &p); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })

	bom := cdx.NewBOM()
	bom.Components = &all
	bom.Metadata = &cdx.Metadata{
		Component:  &product,
		Lifecycles: &[]cdx.Lifecycle{{Phase: cdx.LifecyclePhasePostBuild}},
		Properties: settings(b.info),
	}
	if !at.IsZero() {
		bom.Metadata.Timestamp = at.Format(time.RFC3339)
	}
	bom.Dependencies = dependencies(all)
	return bom, identify(bom)
}

// modules lists the modules that the linker recorded, and the standard library.
func modules(info *debug.BuildInfo) []cdx.Component {
	std := strings.TrimPrefix(info.GoVersion, "go")
	all := []cdx.Component{library("golang", "std", std)}
	for _, m := range info.Deps {
		if m.Replace != nil && m.Replace.Version != "" {
			m = m.Replace // by a fork; a replacement by a folder has no version and keeps its name
		}
		c := library("golang", m.Path, m.Version)
		// As cyclonedx-gomod does: the hash of the module that go.sum has. It is made from the hashes
		// of the files, and is not that of the module's archive.
		if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(sum) == sha256.Size {
			c.Hashes = hashes(hex.EncodeToString(sum))
		}
		all = append(all, c)
	}
	return all
}

// place adds the files of a package to the components.
func place(all *[]cdx.Component, b *binary, p *goPackage) error {
	for _, f := range p.files {
		if !bytes.Contains(b.content, f.content) {
			if p.main {
				return fmt.Errorf("%s is not in the binary, which was not built from this checkout", path.Join(p.folder, f.name))
			}
			continue // the linker leaves out what a library embeds and nothing uses
		}
		c := cdx.Component{
			Type: cdx.ComponentTypeFile, Name: path.Join(p.folder, f.name), Hashes: hashes(f.sha256()),
			BOMRef: "file:" + p.module + "/" + path.Join(p.folder, f.name),
		}
		from, foreign := p.of(f.name)
		var owner string
		switch {
		case !p.main:
			owner = purlOf(p.module)
			if !slices.ContainsFunc(*all, func(c cdx.Component) bool { return c.BOMRef == owner }) {
				return fmt.Errorf("the checkout has %s, the binary has not: it was not built from this checkout", p.module)
			}
		case foreign && from.Derived:
			c.Pedigree = &cdx.Pedigree{Ancestors: &[]cdx.Component{packageOf(from)}}
		case foreign:
			owner = packageOf(from).BOMRef
			if !slices.ContainsFunc(*all, func(c cdx.Component) bool { return c.BOMRef == owner }) {
				*all = append(*all, packageOf(from))
			}
		}
		if owner == "" {
			*all = append(*all, c)
			continue
		}
		i := slices.IndexFunc(*all, func(c cdx.Component) bool { return c.BOMRef == owner })
		add(&(*all)[i], c)
	}
	return nil
}

// packageOf is the package that embedded files come from, with what is bundled in it.
func packageOf(o origin) cdx.Component {
	c := library("npm", o.Package, o.Version)
	if o.License != "" {
		c.Licenses = &cdx.Licenses{{License: &cdx.License{ID: o.License}}}
	}
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(o.Integrity, "sha512-")); err == nil && len(sum) > 0 {
		c.ExternalReferences = &[]cdx.ExternalReference{{ // the package URL names the archive without naming a registry
			Type: cdx.ERTypeDistribution, URL: c.PackageURL,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA512, Value: hex.EncodeToString(sum)}},
		}}
	}
	for _, inner := range o.Contains {
		add(&c, library("npm", inner.Package, inner.Version))
	}
	return c
}

func add(to *cdx.Component, c cdx.Component) {
	if to.Components == nil {
		to.Components = &[]cdx.Component{}
	}
	*to.Components = append(*to.Components, c)
}

func library(ecosystem, name, version string) cdx.Component {
	url := purl(ecosystem, name, version)
	return cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: url, Name: name, Version: version, PackageURL: url}
}

// purl escapes what the specification of package URLs reserves.
func purl(ecosystem, name, version string) string {
	escape := strings.NewReplacer("%", "%25", "@", "%40", "+", "%2B", "?", "%3F", "#", "%23", " ", "%20")
	return "pkg:" + ecosystem + "/" + escape.Replace(name) + "@" + escape.Replace(version)
}

func purlOf(module string) string {
	name, version, _ := strings.Cut(module, "@")
	return purl("golang", name, version)
}

func hashes(sha256 string) *[]cdx.Hash {
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sha256}}
}

// settings are those that decide what is compiled, named as by cyclonedx-gomod.
func settings(info *debug.BuildInfo) *[]cdx.Property {
	var all []cdx.Property
	for _, s := range info.Settings {
		switch s.Key {
		case "CGO_ENABLED", "GOARCH", "GOOS":
			all = append(all, cdx.Property{Name: "cdx:gomod:build:env:" + s.Key, Value: s.Value})
		case "-tags":
			for tag := range strings.SplitSeq(s.Value, ",") {
				all = append(all, cdx.Property{Name: "cdx:gomod:build:tag", Value: tag})
			}
		}
	}
	return &all
}

// dependencies says that the product contains everything. The linker does not record which module
// needs which.
func dependencies(all []cdx.Component) *[]cdx.Dependency {
	refs := make([]string, 0, len(all))
	for _, c := range all {
		refs = append(refs, c.BOMRef)
	}
	return &[]cdx.Dependency{{Ref: "product", Dependencies: &refs}}
}

// identify gives the document a serial number that follows from its content.
func identify(bom *cdx.BOM) error {
	raw, err := encode(bom)
	if err != nil {
		return err
	}
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, raw).URN()
	return nil
}

// encode writes version 1.6, which the scanners in use read.
func encode(bom *cdx.BOM) ([]byte, error) {
	var out bytes.Buffer
	err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	return out.Bytes(), err
}
