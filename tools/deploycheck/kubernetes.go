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
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// kinds are the kinds of objects in the manifests. Add a new kind here first.
var kinds = map[string]func() any{
	"v1/Secret":                              func() any { return &core.Secret{} },
	"v1/ConfigMap":                           func() any { return &core.ConfigMap{} },
	"v1/Service":                             func() any { return &core.Service{} },
	"apps/v1/Deployment":                     func() any { return &apps.Deployment{} },
	"batch/v1/Job":                           func() any { return &batch.Job{} },
	"policy/v1/PodDisruptionBudget":          func() any { return &policy.PodDisruptionBudget{} },
	"networking.k8s.io/v1/NetworkPolicy":     func() any { return &networking.NetworkPolicy{} },
	"autoscaling/v2/HorizontalPodAutoscaler": func() any { return &autoscaling.HorizontalPodAutoscaler{} },
}

var separator = regexp.MustCompile(`(?m)^---\s*$`)

// checkKubernetes reads every manifest into Kubernetes' own types, strictly.
func checkKubernetes(root string, settings map[string]setting) error {
	dir := filepath.Join(root, "deploy", "kubernetes")
	var list struct {
		Resources []string `json:"resources"`
	}
	if err := readYAML(filepath.Join(dir, "kustomization.yaml"), &list); err != nil {
		return err
	}
	if len(list.Resources) == 0 {
		return fmt.Errorf("%s: kustomization.yaml has no resources", dir)
	}

	var wrong problems
	var all cluster
	for _, name := range append(list.Resources, "secret.example.yaml") {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		for _, document := range separator.Split(string(content), -1) {
			if err := checkManifest([]byte(document), settings, &all); err != nil {
				wrong.add("deploy/kubernetes/%s: %v", name, err)
			}
		}
	}
	all.check(&wrong)
	return wrong.err()
}

func checkManifest(document []byte, settings map[string]setting, all *cluster) error {
	var about struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal(document, &about); err != nil {
		return err
	}
	makeKind, known := kinds[about.APIVersion+"/"+about.Kind]
	if !known {
		return fmt.Errorf("%s %s is not among the kinds that deploycheck knows", about.APIVersion, about.Kind)
	}
	object := makeKind()
	if err := yaml.UnmarshalStrict(document, object); err != nil {
		return fmt.Errorf("%s: %w", about.Kind, err)
	}

	all.add(object)
	switch o := object.(type) {
	case *core.ConfigMap:
		return checkNames(o.Name, slices.Collect(maps.Keys(o.Data)), settings)
	case *core.Secret:
		return checkSecret(o, settings)
	case *apps.Deployment:
		return checkPod(o.Name, o.Spec.Template.Spec, true)
	case *batch.Job:
		return checkPod(o.Name, o.Spec.Template.Spec, false)
	}
	return nil
}

func checkSecret(s *core.Secret, settings map[string]setting) error {
	var wrong problems
	for name, value := range s.StringData {
		if value != "" {
			wrong.add("%s has a value: this file is published", name)
		}
	}
	if err := wrong.err(); err != nil {
		return err
	}
	return checkNames(s.Name, slices.Collect(maps.Keys(s.StringData)), settings)
}

// checkPod requires the restricted pod security standard, and probes.
func checkPod(name string, pod core.PodSpec, serves bool) error {
	var wrong problems
	if p := pod.SecurityContext; p == nil || !is(p.RunAsNonRoot, true) || p.SeccompProfile == nil {
		wrong.add("%s: the pod must not run as root, and needs a seccomp profile", name)
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || !is(s.AllowPrivilegeEscalation, false) || !is(s.ReadOnlyRootFilesystem, true) ||
			s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") {
			wrong.add("%s: container %s is not restricted", name, c.Name)
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			wrong.add("%s: container %s has no resources", name, c.Name)
		}
		if serves && (c.LivenessProbe == nil || c.ReadinessProbe == nil) {
			wrong.add("%s: container %s has no probes", name, c.Name)
		}
		if strings.HasSuffix(c.Image, ":latest") {
			wrong.add("%s: container %s names no version", name, c.Name)
		}
	}
	return wrong.err()
}

func is(b *bool, want bool) bool { return b != nil && *b == want }

func readYAML(file string, into any) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
