package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// goPackage is a package of the binary with embedded files.
type goPackage struct {
	module  string // path and version, "@" between them; the path alone for the product
	main    bool   // part of the product
	folder  string // within its module, with slashes; "." for its root
	files   []file
	origins []origin
}

// file is an embedded file. Its name is relative to the folder of its package.
type file struct {
	name    string
	content []byte
}

func (f file) sha256() string {
	sum := sha256.Sum256(f.content)
	return hex.EncodeToString(sum[:])
}

// origin is a manifest.json, or a file that ends in .manifest.json, beside embedded files that come
// from elsewhere.
type origin struct {
	Package   string    `json:"package"` // of npm
	Version   string    `json:"version"`
	License   string    `json:"license"`   // of SPDX
	Integrity string    `json:"integrity"` // of the source, as npm states it
	Derived   bool      `json:"derived"`   // the files are made from the package, and are not copies
	Contains  []bundled `json:"contains"`
	// Files are the SHA-256 of the files before compression.
	Files map[string]string `json:"files"`

	folder string // with a slash at its end, or empty
}

// bundled is a package inside the files of another one.
type bundled struct {
	Package string `json:"package"`
	Version string `json:"version"`
}

// embedded asks Go which files are embedded in the packages of the binary, for its platform.
func embedded(root string, info *buildinfo.BuildInfo) ([]goPackage, error) {
	list := exec.CommandContext(context.Background(), "go", "list", "-deps", "-json=ImportPath,Dir,EmbedFiles,Module", info.Path)
	list.Dir = root
	list.Env = os.Environ()
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS", "GOARCH", "CGO_ENABLED":
			list.Env = append(list.Env, s.Key+"="+s.Value)
		case "-tags":
			list.Args = append(list.Args[:3:3], "-tags="+s.Value, list.Args[3], info.Path)
		}
	}
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", list, err)
	}

	var all []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		if len(p.EmbedFiles) == 0 || p.Module == nil {
			continue
		}
		found, err := p.read()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.ImportPath, err)
		}
		all = append(all, found)
	}
}

// listed is a package as `go list` describes it.
type listed struct {
	ImportPath, Dir string
	EmbedFiles      []string
	Module          *struct {
		Path, Version, Dir string
		Main               bool
		Replace            *struct{ Path, Version string }
	}
}

func (p listed) read() (goPackage, error) {
	folder, err := filepath.Rel(p.Module.Dir, p.Dir)
	if err != nil {
		return goPackage{}, err
	}
	found := goPackage{module: p.Module.Path, main: p.Module.Main, folder: filepath.ToSlash(folder)}
	if !found.main {
		found.module += "@" + p.Module.Version
	}
	if fork := p.Module.Replace; fork != nil && fork.Version != "" {
		found.module = fork.Path + "@" + fork.Version
	}
	folders := map[string]bool{}
	for _, name := range p.EmbedFiles {
		content, err := os.ReadFile(filepath.Join(p.Dir, filepath.FromSlash(name)))
		if err != nil {
			return goPackage{}, err
		}
		found.files = append(found.files, file{name, content})
		folders[path.Dir(name)] = found.main
	}
	for folder, ours := range folders {
		if !ours {
			continue
		}
		if err := found.readOrigins(filepath.Join(p.Dir, filepath.FromSlash(folder)), folder); err != nil {
			return goPackage{}, err
		}
	}
	return found, nil
}

func (p *goPackage) readOrigins(dir, folder string) error {
	manifests, err := filepath.Glob(filepath.Join(dir, "*manifest.json"))
	if err != nil {
		return err
	}
	for _, name := range manifests {
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		o := origin{folder: strings.TrimPrefix(folder+"/", "./")}
		if err := json.Unmarshal(raw, &o); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if o.Package == "" || o.Version == "" {
			return fmt.Errorf("%s: names no package or no version", name)
		}
		for of := range o.Files {
			if err := p.verify(o, of); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		p.origins = append(p.origins, o)
	}
	return nil
}

// verify requires the file of a manifest, as it is or compressed, with the hash that it states.
func (p *goPackage) verify(o origin, name string) error {
	for _, f := range p.files {
		content := f.content
		switch f.name {
		case o.folder + name:
		case o.folder + name + ".gz":
			r, err := gzip.NewReader(bytes.NewReader(content))
			if err != nil {
				return err
			}
			if content, err = io.ReadAll(r); err != nil {
				return err
			}
		default:
			continue
		}
		if (file{name, content}).sha256() != o.Files[name] {
			return fmt.Errorf("%s has another SHA-256", name)
		}
		return nil
	}
	return fmt.Errorf("%s is not embedded", name)
}

// of returns the manifest that names the file.
func (p *goPackage) of(name string) (origin, bool) {
	for _, o := range p.origins {
		short, within := strings.CutPrefix(name, o.folder)
		if _, listed := o.Files[strings.TrimSuffix(short, ".gz")]; within && listed {
			return o, true
		}
	}
	return origin{}, false
}
