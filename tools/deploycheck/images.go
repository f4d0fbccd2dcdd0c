package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// images are the references of deploy/images.lock by their variables, which are build arguments of
// Dockerfile and variables of docker-compose.yml.
type images map[string]string

var (
	digest    = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)
	reference = regexp.MustCompile(`^[a-z0-9][a-z0-9./_:-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*(@sha256:[0-9a-f]{64})?$`)
)

func readImages(root string) (images, error) {
	raw, err := os.ReadFile(filepath.Join(root, "deploy", "images.lock"))
	if err != nil {
		return nil, err
	}
	var wrong problems
	all := images{}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, image, _ := strings.Cut(line, "=")
		if !reference.MatchString(image) || strings.HasSuffix(strings.Split(image, "@")[0], ":latest") {
			wrong.add("deploy/images.lock: %s: %q is not repository:tag or repository:tag@sha256:..., or its tag is latest", name, image)
		}
		all[name] = image
	}
	if len(all) == 0 {
		wrong.add("deploy/images.lock: names no images")
	}
	return all, wrong.err()
}

// notPinned lists the images without a digest.
func (l images) notPinned() []string {
	var open []string
	for _, image := range l {
		if !digest.MatchString(image) {
			open = append(open, image)
		}
	}
	slices.Sort(open)
	return open
}

var (
	syntaxLine = regexp.MustCompile(`^# *syntax *= *(\S+)`)
	argLine    = regexp.MustCompile(`(?i)^\s*ARG\s+(\w+)=(\S+)`)
	fromLine   = regexp.MustCompile(`(?i)^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?`)
	fromOption = regexp.MustCompile(`(?:--|,)from=([^,\s]+)`) // of COPY and of RUN --mount
	argument   = regexp.MustCompile(`^\$\{?(\w+)\}?$`)
)

// checkDockerfile requires of every image that it is an earlier stage, has a digest, or is a build
// argument of deploy/images.lock with the same default.
func checkDockerfile(root string, locked images) error {
	raw, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		return err
	}
	var wrong problems
	stages := map[string]bool{"scratch": true}
	defaults := map[string]string{} // before the first FROM: others do not count there
	check := func(image string) {
		if m := argument.FindStringSubmatch(image); m != nil {
			if locked[m[1]] == "" || defaults[m[1]] != locked[m[1]] {
				wrong.add("Dockerfile: the default of %s is %q, deploy/images.lock has %q", m[1], defaults[m[1]], locked[m[1]])
			}
		} else if !stages[image] && !digest.MatchString(image) {
			wrong.add("Dockerfile: %s has no digest and is no build argument of deploy/images.lock", image)
		}
	}
	for line := range strings.Lines(string(raw)) {
		if m := syntaxLine.FindStringSubmatch(line); m != nil {
			if want := locked["BUILDKIT_SYNTAX"]; m[1] != want {
				wrong.add("Dockerfile: the syntax is %s, deploy/images.lock has %q", m[1], want)
			}
		}
		if m := argLine.FindStringSubmatch(line); m != nil && len(stages) == 1 {
			defaults[m[1]] = m[2]
		}
		if m := fromLine.FindStringSubmatch(line); m != nil {
			check(m[1])
			stages[m[2]] = true
			continue
		}
		for _, m := range fromOption.FindAllStringSubmatch(line, -1) {
			check(m[1])
		}
	}
	return wrong.err()
}

// checkComposeImages requires of every image that Compose pulls that it has a digest, or comes from
// a variable of deploy/images.lock with the same default.
func checkComposeImages(root string, locked images) error {
	byDefault, err := loadCompose(root, secrets)
	if err != nil {
		return fmt.Errorf("docker-compose.yml: %w", err)
	}
	environment := maps.Clone(secrets)
	for name := range locked {
		environment[name] = "set-by/" + strings.ToLower(name)
	}
	set, err := loadCompose(root, environment)
	if err != nil {
		return fmt.Errorf("docker-compose.yml: %w", err)
	}

	var wrong problems
	for name, s := range byDefault.Services {
		if s.Build != nil || digest.MatchString(s.Image) {
			continue
		}
		variable, known := strings.CutPrefix(set.Services[name].Image, "set-by/")
		if !known {
			wrong.add("docker-compose.yml: %s: %s has no digest and is no variable of deploy/images.lock", name, s.Image)
		} else if want := locked[strings.ToUpper(variable)]; s.Image != want {
			wrong.add("docker-compose.yml: %s: the default is %s, deploy/images.lock has %s", name, s.Image, want)
		}
	}
	return wrong.err()
}

// checkManifestImages requires of every image of the manifests that it has a digest, or that
// kustomization.yaml sets it, where the pipeline writes the digest of what it has built.
func checkManifestImages(root string) error {
	dir := filepath.Join(root, "deploy", "kubernetes")
	var list struct {
		Resources []string `json:"resources"`
		Images    []struct {
			Name   string `json:"name"`
			NewTag string `json:"newTag"`
		} `json:"images"`
	}
	if err := readYAML(filepath.Join(dir, "kustomization.yaml"), &list); err != nil {
		return err
	}
	var wrong problems
	set := map[string]bool{}
	for _, image := range list.Images {
		set[image.Name] = true
		if image.NewTag == "latest" {
			wrong.add("deploy/kubernetes/kustomization.yaml: the tag of %s is latest", image.Name)
		}
	}
	for _, name := range list.Resources {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		for _, document := range separator.Split(string(content), -1) {
			pod, err := podOf([]byte(document))
			if err != nil {
				return fmt.Errorf("deploy/kubernetes/%s: %w", name, err)
			}
			for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
				if !digest.MatchString(c.Image) && !set[c.Image] {
					wrong.add("deploy/kubernetes/%s: %s has no digest and is not among the images of kustomization.yaml", name, c.Image)
				}
			}
		}
	}
	return wrong.err()
}

// podOf returns the pod of a Deployment or a Job, and an empty one of other objects.
func podOf(document []byte) (core.PodSpec, error) {
	var about struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(document, &about); err != nil {
		return core.PodSpec{}, err
	}
	var deployment apps.Deployment
	var job batch.Job
	switch about.Kind {
	case "Deployment":
		err := yaml.Unmarshal(document, &deployment)
		return deployment.Spec.Template.Spec, err
	case "Job":
		err := yaml.Unmarshal(document, &job)
		return job.Spec.Template.Spec, err
	}
	return core.PodSpec{}, nil
}
