package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// allSettings is the field of settings.changed that has the digests of all settings.
const allSettings = "settings"

var settingsChanged = audit.Action{
	Name: "settings.changed", Subject: "settings", Fields: append(config.Names(), allSettings),
	Doc: "A node started with other settings than the last one with the same roles. Values are digests; those of secrets need `AUDIT_KEYS`, without which they are `set` or `not set`.",
}

// auditActions returns the actions that the modules and the program itself record.
func (n *node) auditActions() []audit.Action {
	list := append(audit.Actions(), settingsChanged)
	for _, m := range n.modules {
		if a, ok := m.(HasAuditActions); ok {
			list = append(list, a.AuditActions()...)
		}
	}
	return list
}

// recordSettings records which settings differ from those of the last start of a node with the same
// roles.
func (n *node) recordSettings(ctx context.Context) error {
	keys, err := audit.ParseKeys(n.cfg.AuditKeys.Reveal())
	if err != nil {
		return err
	}
	now := n.cfg.Digests(keys.Secret())
	subject := strings.Join(slices.Sorted(slices.Values(n.cfg.Roles)), ",")
	err = postgres.InTx(ctx, n.pool, func(tx pgx.Tx) error {
		before, err := lastSettings(ctx, tx, subject)
		if err != nil || maps.Equal(before, now) {
			return err
		}
		changes := []audit.Change{audit.Now(allSettings, now)}
		for _, name := range config.Names() {
			if before != nil {
				changes = append(changes, audit.Changed(name, before[name], now[name])...)
			}
		}
		return audit.Record(ctx, tx, audit.Entry{Action: settingsChanged, Subject: subject, Changes: changes})
	})
	if err != nil {
		return fmt.Errorf("record the settings: %w", err)
	}
	return nil
}

// lastSettings returns the digests that were recorded last, or nil. It locks them until the commit,
// because nodes may start at the same time.
func lastSettings(ctx context.Context, tx pgx.Tx, subject string) (map[string]string, error) {
	if err := audit.Lock(ctx, tx, settingsChanged); err != nil {
		return nil, err
	}
	last, err := audit.List(ctx, tx, audit.Filter{Actions: []string{settingsChanged.Name}, Subject: subject, Limit: 1})
	if err != nil || len(last) == 0 {
		return nil, err
	}
	var changes []struct {
		Field string
		After json.RawMessage
	}
	if err := json.Unmarshal(last[0].Changes, &changes); err != nil {
		return nil, err
	}
	var digests map[string]string
	for _, c := range changes {
		if c.Field == allSettings {
			err = json.Unmarshal(c.After, &digests)
		}
	}
	return digests, err
}
