package notifications

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"github.com/orderflow-dev/orderflow/platform/events"
)

// AsyncAPI returns the AsyncAPI 3.0 document of the frames of sockets and streams and of the
// messages of webhooks (SPEC F5, R24). publicURL is the origin of the API, or "" if it is not known.
func (m *Module) AsyncAPI(version, publicURL string) ([]byte, error) {
	d := newDescriber("#/components/schemas/")
	if err := m.describeAll(d); err != nil {
		return nil, err
	}
	schemas, err := d.named()
	if err != nil {
		return nil, err
	}
	messages, err := m.messages(d)
	if err != nil {
		return nil, err
	}
	names := events.Types(m.kinds)
	stream := append(slices.Clone(names), kindReady, kindReset, kindUnread)
	return json.MarshalIndent(object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "Orderflow events", "version": version,
			"license": object{"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
			"tags":    []any{object{"name": "Events", "description": "Every change of an order."}},
			"description": "Every change of an order is one event. All transports carry the same events, in the same order, with the same cursors: " +
				"a client that resumes after its last cursor, on any transport and node, gets all later events. Events are CloudEvents 1.0 in the JSON format. " +
				"Members may be added; ignore unknown members. `/openapi.json` describes the rest of the API.",
		},
		"defaultContentType": "application/json",
		"servers":            servers(publicURL),
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

// servers describes one origin for both protocols.
func servers(publicURL string) object {
	host, secure := "localhost:3000", ""
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		host = u.Host
		if u.Scheme == "https" {
			secure = "s"
		}
	}
	return object{
		"websocket": object{"host": host, "protocol": "ws" + secure, "description": "WebSockets"},
		"http":      object{"host": host, "protocol": "http" + secure, "description": "Server-Sent Events"},
	}
}

// channels describes the socket and the event stream, which carry the messages of stream, and the
// endpoints of webhooks, which get those of webhook.
func channels(stream, webhook []string) object {
	query := object{"type": "object", "properties": object{
		"ticket":  object{"type": "string", "description": "A ticket in place of the Authorization header"},
		"after":   object{"type": "string", "description": "Resume after this cursor; start begins with the oldest event that is kept"},
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
			"address": socketPath, "title": "WebSocket", "servers": []any{ref("/servers/websocket")}, "messages": messages(stream),
			"description": "Each frame is one message. The client sends nothing. The server closes the socket with 4401 when the session or key ends, 4408 when the client " +
				"reads too slowly, and 1001 when the server stops.",
			"bindings": object{"ws": object{"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
		},
		"stream": object{
			"address": streamPath, "title": "Server-Sent Events", "servers": []any{ref("/servers/http")}, "messages": messages(stream),
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
			"summary": "Sends events over a WebSocket", "description": "Every message is one text frame. With after, it begins behind this cursor.",
		},
		"stream": object{
			"action": "send", "channel": ref("/channels/stream"), "messages": messages("stream", stream), "security": credentials,
			"summary": "Sends events as Server-Sent Events", "description": "Every message is one event of the stream. With Last-Event-ID or after, it begins behind this cursor.",
		},
		"webhook": object{
			"action": "send", "channel": ref("/channels/webhook"), "messages": messages("webhook", webhook),
			"summary": "Delivers events to an endpoint", "description": "Every message is one request, which is repeated until the endpoint accepts it.",
			"bindings": object{"http": object{"method": "POST", "bindingVersion": "0.3.0"}},
		},
	}
}

func ref(path string) object { return object{"$ref": "#" + path} }

func (m *Module) messages(d *describer) (object, error) {
	all := object{}
	for _, k := range m.kinds {
		raw, err := Example(k)
		if err != nil {
			return nil, fmt.Errorf("give an example of %s: %w", k.Type, err)
		}
		all[k.Type] = object{
			"name": k.Type, "title": k.Type, "summary": k.Doc, "payload": d.ref(eventName(k.Type)),
			"examples": []any{object{"name": "example", "payload": json.RawMessage(raw)}},
		}
	}
	for _, c := range controlDocs {
		example := Control{Type: c.kind, Cursor: exampleCursor}
		if c.kind == kindUnread {
			example.Unread = new(int64(3))
		}
		all[c.kind] = object{
			"name": c.kind, "title": c.kind, "summary": c.doc, "payload": d.ref(frameName(c.kind)),
			"examples": []any{object{"name": "example", "payload": example}},
		}
	}
	return all, nil
}
