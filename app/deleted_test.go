package app

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
)

// lines reads an event stream until a line says what is waited for.
func (c *client) lines(query, last string) (text string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.base+"/v1/events/stream"+query, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	res, err := brief.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		text += in.Text() + "\n"
		if strings.Contains(in.Text(), last) {
			return text
		}
	}
	c.t.Fatalf("the stream ended before %s: %v\n%s", last, in.Err(), text)
	return ""
}

// frames reads a socket until a frame of that type, as text.
func (c *client) frames(query, kind string) (text string) {
	c.t.Helper()
	conn, a := c.dial(query, http.Header{"Authorization": {"Bearer " + c.token}})
	if conn == nil {
		c.t.Fatal(a)
	}
	for !strings.Contains(text, `"type":"`+kind+`"`) {
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		kindOf, raw, err := conn.ReadMessage()
		if err != nil || kindOf != websocket.TextMessage {
			c.t.Fatalf("%v after %s", err, text)
		}
		text += string(raw) + "\n"
	}
	return text
}

// C8, E1, E3, E4: what people wrote into an order is nowhere to be read once it is deleted,
// neither by its owner nor by administrators. Asked for by its id it has no events, as it has
// no history; who follows hears of its end, also on resuming, and misses no version.
func TestDeletedOrdersTellNothing(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root, ann := s.admin(), s.user("ann")
	root.product("KETTLE", 100)
	start := ann.want(200, "GET", "/v1/events", "").text("nextCursor")
	url, got := receiver(t)
	hook := ann.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q}`, url)).text("id")
	const canary = "gerbil"
	id := ann.want(201, "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}],"note":"a gerbil in a note","metadata":{"gerbil":1},`+
		`"reference":"gerbil-1","paymentMethod":"pm_gerbil"}`, "Idempotency-Key: placing").text("id")
	live := ann.socket("?orderId=" + id)
	live.until("ready", "")
	ann.becomes(id, "PROCESSING")
	root.want(200, "POST", "/v1/orders/"+id+"/cancel", `{"reason":"a gerbil in a reason"}`)
	seen := ann.want(200, "GET", "/v1/events?orderId="+id+"&after="+start, "").text("nextCursor")

	root.want(204, "DELETE", "/v1/orders/"+id, "")

	live.until("order.deleted", id)
	for seen := ""; seen != "order.deleted"; {
		seen = nextTold(t, got).Type
	}
	for who, c := range map[string]*client{"owner": ann, "admin": root} {
		for _, path := range []string{"/v1/orders/" + id, "/v1/orders/" + id + "/events"} {
			c.want(404, "GET", path, "")
		}
		if a := c.want(200, "GET", "/v1/events?orderId="+id, ""); strings.Contains(string(a.raw), id) {
			t.Errorf("%s: by its id: %s", who, a)
		} else if again := c.want(200, "GET", "/v1/events?orderId="+id+"&after="+a.text("nextCursor"), ""); strings.Contains(string(again.raw), id) {
			t.Errorf("%s: going on: %s", who, again)
		}
		for _, after := range []string{start, seen} {
			a := c.want(200, "GET", "/v1/events?orderId="+id+"&after="+after, "")
			if a.text("data.0.type") != "order.deleted" || a.at("data.1") != nil {
				t.Errorf("%s: resumed by its id: %s", who, a)
			}
			if text := c.frames("?orderId="+id+"&after="+after, "order.deleted"); strings.Contains(text, "order.created") {
				t.Errorf("%s: resumed by its id: %s", who, text)
			}
		}
		all := c.want(200, "GET", "/v1/events?after="+start, "")
		versions := 0
		for i := 0; all.at(fmt.Sprint("data.", i)) != nil; i++ {
			if all.text(fmt.Sprintf("data.%d.subject", i)) == id {
				versions++
				if got := fmt.Sprint(all.at(fmt.Sprintf("data.%d.version", i))); got != fmt.Sprint(versions) {
					t.Errorf("%s: version %s is number %d", who, got, versions)
				}
			}
		}
		for what, text := range map[string]string{
			"pages":    string(all.raw),
			"socket":   c.frames("?after="+start, "order.deleted"),
			"stream":   c.lines("?after="+start, "order.deleted"),
			"inbox":    string(c.want(200, "GET", "/v1/notifications", "").raw),
			"list":     string(c.want(200, "GET", "/v1/orders?q=gerbil", "").raw),
			"replayed": string(ann.send("POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}],"note":"a gerbil in a note","metadata":{"gerbil":1},"reference":"gerbil-1","paymentMethod":"pm_gerbil"}`, "Idempotency-Key: placing").raw),
		} {
			if strings.Contains(text, canary) {
				t.Errorf("%s: %s: %s", who, what, text)
			}
			if what != "inbox" && what != "list" && what != "replayed" && (!strings.Contains(text, "order.created") || !strings.Contains(text, "order.deleted")) {
				t.Errorf("%s: %s lacks events: %s", who, what, text)
			}
		}
	}

	ann.want(202, "POST", "/v1/webhooks/"+hook+"/replays", `{"from":1,"rate":100}`)
	for kind := ""; kind != "order.deleted"; {
		in := nextTold(t, got)
		if kind = in.Type; strings.Contains(string(in.raw), canary) {
			t.Errorf("replayed to the webhook: %s", in.raw)
		}
	}
}
