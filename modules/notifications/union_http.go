package notifications

import (
	"reflect"
	"slices"

	"github.com/orderflow-dev/orderflow/platform/events"
)

// Names of schemas in /openapi.json and /asyncapi.json.
const (
	eventSchema         = "Event"
	streamMessageSchema = "StreamMessage"
)

// controlDocs describe the control frames of sockets and streams.
var controlDocs = []struct{ kind, doc string }{
	{kindReady, "The first message: the stream begins after this cursor. Also sent on an idle connection, when the log went on with events that the filter leaves out: resume from the latest cursor."},
	{kindReset, "The cursor cannot be resumed: it is too old, or the database was restored to an earlier state without some events that were sent. " +
		"It is the first message, or a later one if the database is restored while the stream is open. Read the current state; the stream continues after this cursor."},
	{kindUnread, "The number of unread notifications of the subscriber. It is not an event: only the latest one is valid. It has the cursor of its position in the stream."},
}

// frameName returns the name of the schema of a control frame.
func frameName(kind string) string { return camel(kind) + "Frame" }

// describeAll adds the schemas of all events and control frames.
func (m *Module) describeAll(d *describer) error {
	for _, k := range m.kinds {
		if err := d.event(k); err != nil {
			return err
		}
	}
	for _, c := range controlDocs {
		if err := d.control(c.kind, c.doc); err != nil {
			return err
		}
	}
	return nil
}

// control adds the schema of a control frame.
func (d *describer) control(kind, doc string) error {
	schema, err := d.of(reflect.TypeFor[Control]())
	if err != nil {
		return err
	}
	members, _ := schema["properties"].(object)
	members["type"] = object{"type": "string", "const": kind}
	if kind == kindUnread {
		required, _ := schema["required"].([]any)
		schema["required"] = append(required, "unread")
	} else {
		delete(members, "unread")
	}
	schema["title"], schema["description"] = frameName(kind), doc
	d.schemas[frameName(kind)] = schema
	return nil
}

// openAPISchemas returns the schemas of events for /openapi.json (SPEC R24), and their unions.
func (m *Module) openAPISchemas() (object, error) {
	d := newDescriber("#/components/schemas/")
	if err := m.describeAll(d); err != nil {
		return nil, err
	}
	types := events.Types(m.kinds)
	frames := map[string]bool{}
	messages := slices.Clone(types)
	for _, c := range controlDocs {
		frames[c.kind] = true
		messages = append(messages, c.kind)
	}
	d.union(eventSchema, "An event: a CloudEvents 1.0 document, whose type says what data it has. Types may be added; ignore unknown ones.", types, eventName)
	d.union(streamMessageSchema, "A message of a WebSocket or an event stream: an event, or a message about the stream itself.", messages, func(kind string) string {
		if frames[kind] {
			return frameName(kind)
		}
		return eventName(kind)
	})
	return d.named()
}
