package notifications

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
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

// orderSnapshot is the name of the schema of an order in an event, which lacks what depends on the
// caller.
const orderSnapshot = "OrderSnapshot"

// Schemas returns a self-contained JSON Schema (2020-12) for each event type. The schemas are
// open: members may be added, and clients must ignore unknown members.
func (m *Module) Schemas() (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, k := range m.kinds {
		d := newDescriber("#/$defs/")
		if err := d.event(k); err != nil {
			return nil, fmt.Errorf("describe %s: %w", k.Type, err)
		}
		defs, err := d.named()
		if err != nil {
			return nil, err
		}
		schema, _ := defs[eventName(k.Type)].(object)
		delete(defs, eventName(k.Type))
		schema["$schema"], schema["$id"], schema["$defs"] = "https://json-schema.org/draft/2020-12/schema", "/schemas/"+k.Type, defs
		if all[k.Type], err = json.MarshalIndent(schema, "", "  "); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// someCursor is the cursor in the examples.
var (
	someCursor    = events.Cursor{Epoch: "5f0c2a9e", Xid: 0x2f1, Seq: 0x4d2, Digest: 0x8c1f03b7}
	exampleCursor = someCursor.String()
)

// Example returns an example of an event kind in the form that all transports send.
func Example(k events.Kind) ([]byte, error) {
	data, err := canonical.Marshal(k.Data)
	if err != nil {
		return nil, err
	}
	order := uuid.MustParse("0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11")
	e := events.Event{
		Cursor: someCursor, OrderID: order, Version: 3,
		UserID: uuid.MustParse("0192f0b8-52d0-7a1b-8c0e-5f1a2b3c4d5e"), Type: k.Type, Data: data,
		Actor: identity.System, At: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
	}
	return canonical.Marshal(e.Message())
}

// camel returns a type such as order.refund-failed as OrderRefundFailed.
func camel(kind string) string {
	var name strings.Builder
	for word := range strings.FieldsFuncSeq(kind, func(r rune) bool { return r == '.' || r == '-' || r == '_' }) {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return name.String()
}

// eventName returns the name of the schema of an event, and dataName that of its data.
func eventName(kind string) string { return camel(kind) + "Event" }
func dataName(kind string) string  { return camel(kind) + "Data" }

// describer generates named schemas. References begin with a prefix.
type describer struct {
	registry huma.Registry
	prefix   string
	schemas  object // those of events and control frames
}

func newDescriber(prefix string) *describer {
	return &describer{registry: web.Schemas(prefix), prefix: prefix, schemas: object{}}
}

func (d *describer) ref(name string) object { return object{"$ref": d.prefix + name} }

// event adds the schemas of an event kind and of its data, which have the members of the kind's
// example.
func (d *describer) event(k events.Kind) error {
	envelope, err := d.of(reflect.TypeFor[events.Message]())
	if err != nil {
		return err
	}
	data, err := d.data(k)
	if err != nil {
		return err
	}
	properties, _ := envelope["properties"].(object)
	properties["type"] = object{"type": "string", "const": k.Type}
	properties["data"] = d.ref(dataName(k.Type))
	envelope["title"], envelope["description"] = eventName(k.Type), k.Doc
	d.schemas[eventName(k.Type)], d.schemas[dataName(k.Type)] = envelope, data
	return nil
}

func (d *describer) data(k events.Kind) (object, error) {
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
	data["required"], data["title"] = required, dataName(k.Type)
	return data, nil
}

// union adds a schema under a name that is one of the schemas of the types, by their member type.
func (d *describer) union(name, doc string, types []string, schemaOf func(kind string) string) {
	list, mapping := make([]any, len(types)), object{}
	for i, kind := range types {
		list[i], mapping[kind] = d.ref(schemaOf(kind)), d.prefix+schemaOf(kind)
	}
	d.schemas[name] = object{
		"title": name, "description": doc, "oneOf": list,
		"discriminator": object{"propertyName": "type", "mapping": mapping},
	}
}

// of returns the schema of a struct.
func (d *describer) of(t reflect.Type) (object, error) {
	schema := d.registry.Schema(t, true, t.Name())
	for schema.Ref != "" {
		schema = d.registry.SchemaFromRef(schema.Ref)
	}
	return plain(schema)
}

// named returns by name the schemas of the events and those to which they refer.
func (d *describer) named() (object, error) {
	all := object{}
	for name, schema := range d.registry.Map() {
		one, err := plain(schema)
		if err != nil {
			return nil, err
		}
		if members, ok := one["properties"].(object); ok && name == "Order" && members["allowedActions"] != nil {
			// The allowed actions depend on the caller, and an order has no steps before its stock is
			// reserved: neither is part of the order in an event.
			name = orderSnapshot
			delete(members, "allowedActions")
			delete(members, "steps")
			required, _ := one["required"].([]any)
			one["required"] = slices.DeleteFunc(required, func(name any) bool { return name == "allowedActions" })
			one["description"] = "An order as an event contains it: without what depends on the caller."
		}
		all[name] = one
	}
	maps.Copy(all, d.schemas)
	d.rename(all)
	web.NameSchemas(all, all, d.prefix)
	used := object{}
	for name := range d.schemas {
		d.use(all, name, used)
	}
	return used, nil
}

// rename makes references to the order lead to its snapshot.
func (d *describer) rename(v any) {
	switch v := v.(type) {
	case object:
		if v["$ref"] == d.prefix+"Order" {
			v["$ref"] = d.prefix + orderSnapshot
		}
		for _, inner := range v {
			d.rename(inner)
		}
	case []any:
		for _, inner := range v {
			d.rename(inner)
		}
	}
}

// use copies a schema, and those to which it refers.
func (d *describer) use(all object, name string, used object) {
	if used[name] != nil || all[name] == nil {
		return
	}
	used[name] = all[name]
	var follow func(v any)
	follow = func(v any) {
		switch v := v.(type) {
		case object:
			if ref, ok := v["$ref"].(string); ok {
				d.use(all, strings.TrimPrefix(ref, d.prefix), used)
			}
			for _, inner := range v {
				follow(inner)
			}
		case []any:
			for _, inner := range v {
				follow(inner)
			}
		}
	}
	follow(all[name])
}

func plain(schema *huma.Schema) (object, error) {
	raw, err := json.Marshal(schema)
	if err != nil {
		return nil, err
	}
	var plain object
	if err := json.Unmarshal(raw, &plain); err != nil {
		return nil, err
	}
	web.OpenSchemas(plain)
	return plain, nil
}
