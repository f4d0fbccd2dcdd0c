package notifications

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// AsyncAPI returns the AsyncAPI 3.0 document of the frames of sockets and streams and of the
// messages of webhooks (SPEC F5).
func (m *Module) AsyncAPI(version string) ([]byte, error) {
	d := newDescriber("#/components/schemas/")
	messages, err := m.messages(d)
	if err != nil {
		return nil, err
	}
	schemas, err := d.shared()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(m.kinds))
	for i, k := range m.kinds {
		names[i] = k.Type
	}
	stream := append(slices.Clone(names), kindReady, kindReset, kindUnread)
	return json.MarshalIndent(object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "Orderflow events", "version": version,
			"description": "Every change of an order is one event. All transports carry the same events, in the same order, with the same cursors: " +
				"a client that resumes after its last cursor, on any transport and node, gets all later events. Events are CloudEvents 1.0 in the JSON format. " +
				"Members may be added; ignore unknown members. `/openapi.json` describes the rest of the API.",
		},
		"defaultContentType": "application/json",
		"channels":           channels(stream, names),
		"operations":         operations(stream, names),
		"components": object{
			"messages": messages, "schemas": schemas,
			"securitySchemes": object{
				"bearer": object{"type": "http", "scheme": "bearer", "description": "An access token or an API key with the scope events:read"},
				"ticket": object{"type": "httpApiKey", "name": "ticket", "in": "query", "description": "From POST /v1/events/tickets, for one connection within 30 seconds"},
			},
		},
	}, "", "  ")
}

// channels describes the socket and the event stream, which carry the messages of stream, and the
// endpoints of webhooks, which get those of webhook.
func channels(stream, webhook []string) object {
	query := object{"type": "object", "properties": object{
		"ticket":  object{"type": "string", "description": "A ticket in place of the Authorization header"},
		"after":   object{"type": "string", "description": "Resume behind this cursor"},
		"types":   object{"type": "string", "description": "Only these types, with commas between"},
		"orderId": object{"type": "string", "format": "uuid", "description": "Only this order"},
		"userId":  object{"type": "string", "format": "uuid", "description": "Administrators only: whose orders"},
	}}
	messages := func(names []string) object {
		list := object{}
		for _, name := range names {
			list[name] = ref("/components/messages/" + name)
		}
		return list
	}
	return object{
		"socket": object{
			"address": socketPath, "title": "WebSocket", "messages": messages(stream),
			"description": "Each frame is one message. The client sends nothing. The server closes the socket with 4401 when the session or key ends, 4408 when the client " +
				"reads too slowly, and 1001 when the server stops.",
			"bindings": object{"ws": object{"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
		},
		"stream": object{
			"address": streamPath, "title": "Server-Sent Events", "messages": messages(stream),
			"description": "An event is an unnamed message with its cursor as the id; other messages are named after their type.",
		},
		"webhook": object{
			"address": nil, "title": "Your own endpoint", "messages": messages(webhook),
			"description": "A POST to the URL of each endpoint made with POST /v1/webhooks, signed according to Standard Webhooks: webhook-id, " +
				"webhook-timestamp and webhook-signature. The body has one additional member: deliverynumber, which numbers " +
				"the deliveries of an endpoint without gaps.",
		},
	}
}

func operations(stream, webhook []string) object {
	messages := func(channel string, names []string) (list []any) {
		for _, name := range names {
			list = append(list, ref("/channels/"+channel+"/messages/"+name))
		}
		return list
	}
	credentials := []any{ref("/components/securitySchemes/bearer"), ref("/components/securitySchemes/ticket")}
	return object{
		"socket": object{
			"action": "send", "channel": ref("/channels/socket"), "messages": messages("socket", stream), "security": credentials,
			"summary": "Sends events over a WebSocket",
		},
		"stream": object{
			"action": "send", "channel": ref("/channels/stream"), "messages": messages("stream", stream), "security": credentials,
			"summary": "Sends events as Server-Sent Events",
		},
		"webhook": object{
			"action": "send", "channel": ref("/channels/webhook"), "messages": messages("webhook", webhook),
			"summary": "Delivers events to an endpoint", "bindings": object{"http": object{"method": "POST", "bindingVersion": "0.3.0"}},
		},
	}
}

func ref(path string) object { return object{"$ref": "#" + path} }

func (m *Module) messages(d *describer) (object, error) {
	all := object{}
	for _, k := range m.kinds {
		schema, err := d.event(k)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", k.Type, err)
		}
		raw, err := Example(k)
		if err != nil {
			return nil, fmt.Errorf("give an example of %s: %w", k.Type, err)
		}
		all[k.Type] = object{
			"name": k.Type, "title": k.Type, "summary": k.Doc, "payload": schema,
			"examples": []any{object{"name": "example", "payload": json.RawMessage(raw)}},
		}
	}
	for name, doc := range map[string]string{
		kindReady: "The first message: the stream begins after this cursor.",
		kindReset: "The cursor cannot be resumed: it is too old, or the database was restored to an earlier state without some events that were sent. " +
			"It is the first message, or a later one if the database is restored while the stream is open. Read the current state; the stream continues after this cursor.",
		kindUnread: "The number of unread notifications of the subscriber. It is not an event: only the latest one is valid. It has the cursor of its position in the stream.",
	} {
		schema, err := d.of(reflect.TypeFor[Control]())
		if err != nil {
			return nil, err
		}
		members, _ := schema["properties"].(object)
		members["type"] = object{"const": name}
		if name == kindUnread {
			schema["required"] = append(schema["required"].([]any), "unread")
		} else {
			delete(members, "unread")
		}
		all[name] = object{"name": name, "title": name, "summary": doc, "payload": schema}
	}
	return all, nil
}
