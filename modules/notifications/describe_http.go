package notifications

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// object is a JSON object.
type object = map[string]any

// Schemas returns a self-contained JSON Schema (2020-12) for each event type. The schemas are
// open: members may be added, and clients must ignore unknown members.
func (m *Module) Schemas() (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, k := range m.kinds {
		d := newDescriber("#/$defs/")
		schema, err := d.event(k)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", k.Type, err)
		}
		schema["$schema"], schema["$id"] = "https://json-schema.org/draft/2020-12/schema", "/schemas/"+k.Type
		if schema["$defs"], err = d.shared(); err != nil {
			return nil, err
		}
		if all[k.Type], err = json.MarshalIndent(schema, "", "  "); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Example returns an example of an event kind in the form that all transports send.
func Example(k events.Kind) ([]byte, error) {
	data, err := canonical.Marshal(k.Data)
	if err != nil {
		return nil, err
	}
	order := uuid.MustParse("0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11")
	e := events.Event{
		Cursor: events.Cursor{Epoch: "5f0c2a9e", Xid: 0x2f1, Seq: 0x4d2, Digest: 0x8c1f03b7}, OrderID: order, Version: 3,
		UserID: uuid.MustParse("0192f0b8-52d0-7a1b-8c0e-5f1a2b3c4d5e"), Type: k.Type, Data: data,
		Actor: identity.System, At: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
	}
	return canonical.Marshal(e.Message())
}

// describer generates schemas with shared parts under a prefix.
type describer struct{ registry huma.Registry }

func newDescriber(prefix string) *describer {
	return &describer{web.Schemas(prefix)}
}

// event returns the schema of an event kind. Its data have the members of the kind's example.
func (d *describer) event(k events.Kind) (object, error) {
	envelope, err := d.of(reflect.TypeFor[events.Message]())
	if err != nil {
		return nil, err
	}
	data, err := d.of(reflect.TypeOf(k.Data))
	if err != nil {
		return nil, err
	}
	raw, err := canonical.Marshal(k.Data)
	if err != nil {
		return nil, err
	}
	var example object
	if err := json.Unmarshal(raw, &example); err != nil {
		return nil, err
	}
	members, _ := data["properties"].(object)
	maps.DeleteFunc(members, func(name string, _ any) bool { return example[name] == nil })
	required, _ := data["required"].([]any)
	for _, name := range k.Required {
		required = append(required, name)
	}
	data["required"] = required

	properties, _ := envelope["properties"].(object)
	properties["type"] = object{"const": k.Type}
	properties["specversion"] = object{"const": "1.0"}
	properties["data"] = data
	envelope["title"], envelope["description"] = k.Type, k.Doc
	return envelope, nil
}

// of returns the schema of a struct; schemas that it refers to are shared.
func (d *describer) of(t reflect.Type) (object, error) {
	schema := d.registry.Schema(t, true, t.Name())
	for schema.Ref != "" {
		schema = d.registry.SchemaFromRef(schema.Ref)
	}
	return d.plain(schema)
}

// shared returns by name the schemas that others refer to.
func (d *describer) shared() (object, error) {
	all := object{}
	for name, schema := range d.registry.Map() {
		if name == "Message" || name == "Data" || name == "Control" {
			continue // inlined where they are used
		}
		plain, err := d.plain(schema)
		if err != nil {
			return nil, err
		}
		if members, ok := plain["properties"].(object); ok && members["allowedActions"] != nil {
			// The allowed actions depend on the caller, and an order has no steps before its stock is
			// reserved: neither is part of the order in an event.
			delete(members, "allowedActions")
			delete(members, "steps")
			plain["required"] = slices.DeleteFunc(plain["required"].([]any), func(name any) bool { return name == "allowedActions" })
		}
		all[name] = plain
	}
	return all, nil
}

func (d *describer) plain(schema *huma.Schema) (object, error) {
	raw, err := json.Marshal(schema)
	if err != nil {
		return nil, err
	}
	var plain object
	if err := json.Unmarshal(raw, &plain); err != nil {
		return nil, err
	}
	open(plain)
	return plain, nil
}

// open allows additional members in objects.
func open(v any) {
	switch v := v.(type) {
	case object:
		if v["additionalProperties"] == false {
			delete(v, "additionalProperties")
		}
		for _, inner := range v {
			open(inner)
		}
	case []any:
		for _, inner := range v {
			open(inner)
		}
	}
}
