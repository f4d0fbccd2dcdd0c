package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// secrets must be given, or Compose refuses to start anything.
var secrets = map[string]string{"POSTGRES_PASSWORD": "a", "JWT_KEYS": "b", "RUNTIME_PASSWORD": "c"}

// checkCompose loads docker-compose.yml with the loader of Compose.
func checkCompose(root string, settings map[string]setting) error {
	project, err := loadCompose(root, secrets)
	if err != nil {
		return fmt.Errorf("docker-compose.yml: %w", err)
	}

	var wrong problems
	for name := range secrets {
		others := maps.Clone(secrets)
		delete(others, name)
		if _, err := loadCompose(root, others); err == nil {
			wrong.add("docker-compose.yml: starts without %s", name)
		}
	}
	for _, s := range project.Services {
		hardened(&wrong, s)
		if s.Build == nil {
			continue
		}
		if err := checkNames("docker-compose.yml: "+s.Name, slices.Collect(maps.Keys(s.Environment)), settings); err != nil {
			wrong.add("%v", err)
		}
	}
	return wrong.err()
}

func hardened(wrong *problems, s types.ServiceConfig) {
	where := "docker-compose.yml: " + s.Name
	if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		wrong.add("%s: must be read-only, without capabilities and without new privileges", where)
	}
	if s.HealthCheck == nil {
		wrong.add("%s: has no health check", where)
	}
	if _, outside := s.Networks["outside"]; !outside && len(s.Ports) > 0 {
		wrong.add("%s: publishes a port of the data network", where)
	}
}

func loadCompose(root string, environment map[string]string) (*types.Project, error) {
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, "docker-compose.yml")}},
		Environment: maps.Clone(environment), // the loader adds to it
	})
}
