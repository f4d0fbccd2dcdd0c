package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const someDigest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var anyDigest = regexp.MustCompile(`@sha256:[0-9a-f]{64}`)

// copyOf copies what names images, without their digests and with replacements in it: file, old, new.
func copyOf(t *testing.T, changes ...[3]string) string {
	t.Helper()
	const from = "../.."
	root := t.TempDir()
	for _, pattern := range []string{"Dockerfile", "docker-compose.yml", "deploy/images.lock", "deploy/kubernetes/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(from, file)
			if err != nil {
				t.Fatal(err)
			}
			content := anyDigest.ReplaceAllString(string(raw), "")
			for _, c := range changes {
				if c[0] != name {
					continue
				}
				if !strings.Contains(content, c[1]) {
					t.Fatalf("%s has no %q", name, c[1])
				}
				content = strings.ReplaceAll(content, c[1], c[2])
			}
			if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func checkImages(root string) (images, error) {
	locked, err := readImages(root)
	if err != nil {
		return nil, err
	}
	return locked, errors.Join(checkDockerfile(root, locked), checkComposeImages(root, locked), checkManifestImages(root))
}

func TestImagesWithoutDigestAreRefused(t *testing.T) {
	t.Parallel()
	const lock, compose, api = "deploy/images.lock", "docker-compose.yml", "deploy/kubernetes/api.yaml"
	for name, row := range map[string]struct {
		change [3]string
		want   string
	}{
		"base":                   {[3]string{"Dockerfile", "FROM ${BASE_IMAGE}", "FROM alpine:3.22"}, "alpine:3.22 has no digest"},
		"stage":                  {[3]string{"Dockerfile", "--from=build", "--from=busybox:1"}, "busybox:1 has no digest"},
		"mount":                  {[3]string{"Dockerfile", "--mount=type=bind,source=go.sum", "--mount=type=bind,from=busybox:1,source=go.sum"}, "busybox:1 has no digest"},
		"unknown argument":       {[3]string{"Dockerfile", "FROM ${BASE_IMAGE}", "FROM ${OTHER_IMAGE}"}, "the default of OTHER_IMAGE"},
		"another default":        {[3]string{"Dockerfile", "GO_IMAGE=golang:", "GO_IMAGE=golang:1"}, "the default of GO_IMAGE"},
		"syntax":                 {[3]string{"Dockerfile", "docker/dockerfile:1", "docker/dockerfile:2"}, "the syntax is docker/dockerfile:2"},
		"compose":                {[3]string{compose, "${REDIS_IMAGE:-redis:7-alpine}", "redis:7-alpine"}, "redis: redis:7-alpine has no digest"},
		"compose, other default": {[3]string{compose, ":-redis:7-alpine", ":-redis:8-alpine"}, "redis: the default is redis:8-alpine"},
		"manifest":               {[3]string{api, "image: orderflow", "image: nginx:1"}, "nginx:1 has no digest"},
		"manifest, init": {
			[3]string{api, "      containers:\n", "      initContainers: [{name: a, image: \"busybox:1\"}]\n      containers:\n"}, "busybox:1 has no digest",
		},
		"latest":       {[3]string{"deploy/kubernetes/kustomization.yaml", "newTag: dev", "newTag: latest"}, "the tag of orderflow is latest"},
		"lock, latest": {[3]string{lock, "redis:7-alpine", "redis:latest"}, "REDIS_IMAGE"},
		"lock, no tag": {[3]string{lock, "redis:7-alpine", "redis"}, "REDIS_IMAGE"},
		"lock, short":  {[3]string{lock, "redis:7-alpine", "redis:7-alpine@sha256:0123"}, "REDIS_IMAGE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := checkImages(copyOf(t, row.change))
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want: %s", err, row.want)
			}
		})
	}
}

func TestImagesArePinnedWhereTheLockIs(t *testing.T) {
	t.Parallel()
	locked, err := checkImages(copyOf(t))
	if err != nil {
		t.Fatal(err)
	}
	if open := locked.notPinned(); len(open) != len(locked) || !slices.Contains(open, "redis:7-alpine") {
		t.Errorf("not pinned: %v of %v", open, locked)
	}

	pinned := [3]string{"deploy/images.lock", "redis:7-alpine", "redis:7-alpine" + someDigest}
	if _, err := checkImages(copyOf(t, pinned)); err == nil || !strings.Contains(err.Error(), "redis: the default is redis:7-alpine,") {
		t.Errorf("%v, want that docker-compose.yml differs", err)
	}
	locked, err = checkImages(copyOf(t, pinned, [3]string{"docker-compose.yml", "redis:7-alpine", "redis:7-alpine" + someDigest}))
	if err != nil {
		t.Fatal(err)
	}
	if open := locked.notPinned(); len(open) != len(locked)-1 || slices.Contains(open, "redis:7-alpine") {
		t.Errorf("not pinned: %v", open)
	}
}

// An image may have its digest in place, without a variable.
func TestImagesWithDigestNeedNoVariable(t *testing.T) {
	t.Parallel()
	root := copyOf(t,
		[3]string{"Dockerfile", "FROM ${BASE_IMAGE}", "FROM alpine:3.22" + someDigest},
		[3]string{"docker-compose.yml", "${REDIS_IMAGE:-redis:7-alpine}", "valkey:8" + someDigest},
		[3]string{"deploy/kubernetes/api.yaml", "image: orderflow", "image: registry.example/orderflow" + someDigest})
	if _, err := checkImages(root); err != nil {
		t.Error(err)
	}
}
