package main

import (
	"maps"
	"strconv"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
)

// cluster holds the objects whose ports must fit together.
type cluster struct {
	deployments []*apps.Deployment
	services    []*core.Service
	policies    []*networking.NetworkPolicy
	settings    map[string]string
}

func (c *cluster) add(object any) {
	switch o := object.(type) {
	case *apps.Deployment:
		c.deployments = append(c.deployments, o)
	case *core.Service:
		c.services = append(c.services, o)
	case *networking.NetworkPolicy:
		c.policies = append(c.policies, o)
	case *core.ConfigMap:
		c.settings = o.Data
	}
}

// check requires that probes use the port of INTERNAL_PORT, that no Service publishes this port, and
// that a NetworkPolicy applies to every Deployment and opens the port to named peers alone.
func (c *cluster) check(wrong *problems) {
	const name = "internal"
	for _, d := range c.deployments {
		for _, container := range d.Spec.Template.Spec.Containers {
			port := portOf(container, name)
			if port == 0 || c.settings["INTERNAL_PORT"] != strconv.Itoa(int(port)) {
				wrong.add("%s: its port %s is not INTERNAL_PORT", d.Name, name)
			}
			for _, probe := range []*core.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
				if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Port.String() != name {
					wrong.add("%s: a probe does not ask the port %s", d.Name, name)
				}
			}
			c.checkPolicies(wrong, d, port)
		}
		if at := d.Spec.Template.Annotations["prometheus.io/port"]; at != c.settings["INTERNAL_PORT"] {
			wrong.add("%s: Prometheus is sent to port %s, not to INTERNAL_PORT", d.Name, at)
		}
	}
	for _, s := range c.services {
		for _, p := range s.Spec.Ports {
			if to := p.TargetPort.String(); to == name || to == c.settings["INTERNAL_PORT"] {
				wrong.add("%s: publishes probes and metrics", s.Name)
			}
		}
	}
}

func (c *cluster) checkPolicies(wrong *problems, d *apps.Deployment, internal int32) {
	found := false
	for _, p := range c.policies {
		if !maps.Equal(p.Spec.PodSelector.MatchLabels, d.Spec.Selector.MatchLabels) {
			continue
		}
		found = true
		for _, rule := range p.Spec.Ingress {
			for _, port := range rule.Ports {
				if len(rule.From) == 0 && port.Port != nil && port.Port.IntVal == internal {
					wrong.add("%s: opens probes and metrics to everybody", p.Name)
				}
			}
			if len(rule.Ports) == 0 {
				wrong.add("%s: opens every port", p.Name)
			}
		}
	}
	if !found {
		wrong.add("%s: no NetworkPolicy applies to it", d.Name)
	}
}

func portOf(c core.Container, name string) int32 {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}
