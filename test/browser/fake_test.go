package browser_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/contrib/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/app/pages"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const (
	email    = "ada@example.com"
	password = "an otter in a teapot"
)

// fake answers like the API does, for one user and out of memory, so that the
// pages can be seen without the rest of the product.
type fake struct {
	URL string

	mu       sync.Mutex
	tokens   int             // how many pairs were given; only the last is good
	expired  bool            // the last access token is not
	tickets  map[string]bool // unused ones
	orders   map[string]order
	ids      []string // of orders, oldest first
	answers  map[string]string
	log      []event
	idle     bool // orders stay PENDING
	forgot   int  // cursors before this one are gone
	changed  chan struct{}
	sockets  map[*websocket.Conn]chan int // closed with the code that is sent
	renewals int
}

type order = map[string]any

type event struct {
	SpecVersion string `json:"specversion"`
	ID          string `json:"id"`
	Type        string `json:"type"`
	Subject     string `json:"subject"`
	Time        string `json:"time"`
	Data        any    `json:"data"`
	Cursor      string `json:"cursor"`
	Version     int    `json:"version"`
	Actor       string `json:"actor"`
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{
		tickets: map[string]bool{}, orders: map[string]order{}, answers: map[string]string{},
		changed: make(chan struct{}), sockets: map[*websocket.Conn]chan int{},
	}
	app := fiber.New(web.Config())
	app.Use(web.Headers())
	pages.Mount(app, pages.Options{Version: "1.2.3", OpenAPI: func() ([]byte, error) { return []byte(description), nil }})
	f.routes(app)

	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.URL = "http://" + socket.Addr().String()
	done := make(chan error, 1)
	go func() { done <- app.Listener(socket) }()
	t.Cleanup(func() {
		f.drop(1001)
		if err := app.ShutdownWithTimeout(5 * time.Second); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fake) routes(app *fiber.App) {
	app.Post("/v1/auth/register", func(c *fiber.Ctx) error { return c.SendStatus(201) })
	app.Post("/v1/auth/login", f.login)
	app.Post("/v1/auth/refresh", f.refresh)
	app.Get("/v1/products", f.products)
	app.Get("/v1/events/ws", f.redeem, websocket.New(f.stream))
	app.Use("/v1", f.authorize)
	app.Post("/v1/auth/logout", func(c *fiber.Ctx) error { return c.SendStatus(204) })
	app.Get("/v1/users/me", func(c *fiber.Ctx) error {
		return c.JSON(fiber.Map{"id": uuid.NewString(), "email": email, "name": "Ada Lovelace", "role": "user"})
	})
	app.Post("/v1/events/tickets", f.ticket)
	app.Post("/v1/orders", f.place)
	app.Get("/v1/orders", f.list)
	app.Get("/v1/orders/:id", f.get)
	app.Get("/v1/orders/:id/events", f.history)
	app.Post("/v1/orders/:id/cancel", f.cancel)
}

func problem(c *fiber.Ctx, status int, code, detail string, faults ...fiber.Map) error {
	body, err := json.Marshal(fiber.Map{"type": "/guide#" + code, "title": http.StatusText(status), "status": status, "code": code, "detail": detail, "errors": faults})
	if err != nil {
		return err
	}
	c.Set("Content-Type", "application/problem+json")
	return c.Status(status).Send(body)
}

func (f *fake) pair(c *fiber.Ctx) error {
	f.tokens++
	f.expired = false
	n := strconv.Itoa(f.tokens)
	return c.JSON(fiber.Map{"accessToken": "access-" + n, "tokenType": "Bearer", "expiresIn": 900, "refreshToken": "refresh-" + n})
}

func (f *fake) login(c *fiber.Ctx) error {
	var in struct{ Email, Password string }
	if err := json.Unmarshal(c.Body(), &in); err != nil || in.Email != email || in.Password != password {
		return problem(c, 401, "invalid-credentials", "E-mail or password is wrong.")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tokens > 0 && !f.expired { // the test's own client logs in as well
		return c.JSON(fiber.Map{"accessToken": "access-" + strconv.Itoa(f.tokens)})
	}
	return f.pair(c)
}

func (f *fake) refresh(c *fiber.Ctx) error {
	var in struct{ RefreshToken string }
	err := json.Unmarshal(c.Body(), &in)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || in.RefreshToken != "refresh-"+strconv.Itoa(f.tokens) {
		return problem(c, 401, "invalid-refresh-token", "The refresh token is not valid.")
	}
	f.renewals++
	return f.pair(c)
}

func (f *fake) authorize(c *fiber.Ctx) error {
	f.mu.Lock()
	good := !f.expired && c.Get("Authorization") == "Bearer access-"+strconv.Itoa(f.tokens)
	f.mu.Unlock()
	if !good {
		return problem(c, 401, "invalid-token", "The token is not valid.")
	}
	return c.Next()
}

func (f *fake) products(c *fiber.Ctx) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	product := func(sku, name string, cents int, available any) fiber.Map {
		return fiber.Map{
			"sku": sku, "name": name, "unitPrice": fiber.Map{"amount": cents, "currency": "EUR"},
			"stock": available, "reserved": 0, "available": available, "active": true,
		}
	}
	return c.JSON(fiber.Map{"nextCursor": nil, "data": []fiber.Map{
		product("BEANS-ESPRESSO-1KG", "Espresso beans, 1 kg", 2490, 240-len(f.ids)),
		product("BEANS-FILTER-250G", "Filter beans, washed, 250 g", 1150, 400),
		product("FILTERS-V60-100", "Paper filters for V60, 100 pieces", 590, 1200),
		product("GRINDER-HAND-01", "Hand grinder, steel burrs", 8900, 35),
		product("KETTLE-GOOSENECK", "Gooseneck kettle, 0.9 l", 6450, 0),
		product("MACHINE-LEVER-PRO", "Lever espresso machine", 124900, 3),
		product("VOUCHER-TASTING", "Tasting for two, voucher <b>", 5900, nil),
	}})
}

func (f *fake) place(c *fiber.Ctx) error {
	var in struct {
		Items []struct {
			SKU      string
			Quantity int
		}
	}
	if err := json.Unmarshal(c.Body(), &in); err != nil || len(in.Items) == 0 {
		return problem(c, 422, "invalid", "The body is not valid; see errors.", fiber.Map{"pointer": "/items", "code": "min-items", "message": "expected at least one"})
	}
	if in.Items[0].Quantity > 1000 {
		return problem(c, 422, "invalid", "The body is not valid; see errors.",
			fiber.Map{"pointer": "/items/0/quantity", "code": "maximum", "message": "expected number <= 1000"})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := c.Get("Idempotency-Key")
	if id, used := f.answers[key]; used {
		c.Set("Idempotency-Replayed", "true")
		return c.Status(201).JSON(f.orders[id])
	}

	id := uuid.Must(uuid.NewV7()).String()
	var items []fiber.Map
	for _, i := range in.Items {
		items = append(items, fiber.Map{"sku": i.SKU, "name": strings.ToLower(i.SKU), "quantity": i.Quantity})
	}
	now := time.Now().UTC().Format(stamp)
	f.orders[id] = order{
		"id": id, "status": "PENDING", "items": items, "total": fiber.Map{"amount": 4980, "currency": "EUR"},
		"version": 0, "allowedActions": []string{"cancel"}, "createdAt": now, "updatedAt": now,
	}
	f.ids = append(f.ids, id)
	f.answers[key] = id
	f.append(id, "order.created", "PENDING")
	if f.idle {
		return c.Status(201).JSON(f.orders[id])
	}
	time.AfterFunc(200*time.Millisecond, func() { f.move(id, "stock.reserved", "PENDING", "order.confirmed", "CONFIRMED") })
	time.AfterFunc(400*time.Millisecond, func() { f.move(id, "order.processing", "PROCESSING") })
	return c.Status(201).JSON(f.orders[id])
}

const stamp = "2006-01-02T15:04:05.000Z07:00"

// move appends pairs of an event's type and the status that it leads to.
func (f *fake) move(id string, steps ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.orders[id]["status"] == "CANCELLED" {
		return
	}
	for i := 0; i < len(steps); i += 2 {
		f.append(id, steps[i], steps[i+1])
	}
}

func (f *fake) append(id, kind, status string) {
	o := f.orders[id]
	data := fiber.Map{"orderId": id, "status": status}
	if was := o["status"]; was != status {
		data["previousStatus"] = was
	}
	o["status"], o["version"] = status, o["version"].(int)+1
	o["allowedActions"] = []string{}
	if status == "PENDING" || status == "CONFIRMED" {
		o["allowedActions"] = []string{"cancel"}
	}
	if kind == "order.created" {
		snapshot := order{}
		for k, v := range o {
			if k != "allowedActions" {
				snapshot[k] = v
			}
		}
		data["order"] = snapshot
	}
	version := o["version"].(int)
	f.log = append(f.log, event{
		SpecVersion: "1.0", ID: fmt.Sprintf("%s/%d", id, version), Type: kind, Subject: id, Time: time.Now().UTC().Format(stamp),
		Data: data, Cursor: strconv.Itoa(len(f.log) + 1), Version: version, Actor: "system",
	})
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) list(c *fiber.Ctx) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	data := []any{}
	for _, id := range slices.Backward(f.ids) {
		data = append(data, f.orders[id])
	}
	return c.JSON(fiber.Map{"data": data, "nextCursor": nil})
}

func (f *fake) get(c *fiber.Ctx) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return c.JSON(f.orders[c.Params("id")])
}

func (f *fake) history(c *fiber.Ctx) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return c.JSON(fiber.Map{"data": slices.DeleteFunc(slices.Clone(f.log), func(e event) bool { return e.Subject != c.Params("id") })})
}

func (f *fake) cancel(c *fiber.Ctx) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := c.Params("id")
	f.append(id, "order.cancelled", "CANCELLED")
	f.append(id, "stock.released", "CANCELLED")
	return c.JSON(f.orders[id])
}

func (f *fake) ticket(c *fiber.Ctx) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	ticket := uuid.NewString()
	f.tickets[ticket] = true
	return c.JSON(fiber.Map{"ticket": ticket, "expiresAt": time.Now().Add(30 * time.Second)})
}

func (f *fake) redeem(c *fiber.Ctx) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.tickets[c.Query("ticket")] {
		return problem(c, 401, "invalid-ticket", "The ticket is not valid.")
	}
	delete(f.tickets, c.Query("ticket"))
	return c.Next()
}

func (f *fake) stream(c *websocket.Conn) {
	f.mu.Lock()
	end := make(chan int, 1)
	f.sockets[c] = end
	at := len(f.log)
	frames := []any{fiber.Map{"type": "ready", "cursor": strconv.Itoa(at)}}
	if after := c.Query("after"); after != "" {
		at, _ = strconv.Atoi(after)
		if at < f.forgot {
			at = len(f.log)
			frames = []any{fiber.Map{"type": "reset", "cursor": strconv.Itoa(at)}}
		}
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.sockets, c)
		f.mu.Unlock()
	}()

	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	}()
	defer func() { <-gone }() // the connection is pooled: it must not be used after the handler returned
	defer c.Close()

	for {
		for _, frame := range frames {
			if c.WriteJSON(frame) != nil {
				return
			}
		}
		f.mu.Lock()
		frames = nil
		for _, e := range f.log[at:] {
			frames = append(frames, e)
		}
		at = len(f.log)
		changed := f.changed
		f.mu.Unlock()
		if frames != nil {
			continue
		}
		select {
		case <-changed:
		case <-gone:
			return
		case code := <-end:
			_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
			return
		}
	}
}

// drop closes every socket with that code.
func (f *fake) drop(code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, end := range f.sockets {
		end <- code
	}
}

// rest leaves new orders as they are.
func (f *fake) rest() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.idle = true
}

// forget makes every cursor so far too old.
func (f *fake) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgot = len(f.log) + 1
}

// expire makes the last access token worthless.
func (f *fake) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expired = true
}

func (f *fake) refreshes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.renewals
}

const description = `{
  "openapi": "3.1.0", "info": {"title": "Orderflow", "version": "1.2.3", "description": "Takes orders and processes them."},
  "servers": [{"url": "/"}],
  "paths": {
    "/v1/orders": {
      "get": {"operationId": "list-orders", "summary": "List orders, newest first", "tags": ["Orders"], "security": [{"bearerAuth": []}],
        "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}}],
        "responses": {"200": {"description": "OK"}}},
      "post": {"operationId": "place-order", "summary": "Place an order", "tags": ["Orders"], "security": [{"bearerAuth": []}],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Wanted"}}}},
        "responses": {"201": {"description": "Created"}}}
    },
    "/v1/products": {"get": {"operationId": "list-products", "summary": "List products by sku", "tags": ["Products"], "responses": {"200": {"description": "OK"}}}}
  },
  "components": {
    "schemas": {"Wanted": {"type": "object", "required": ["items"], "properties": {"items": {"type": "array", "items": {"type": "object",
      "properties": {"sku": {"type": "string", "examples": ["BEANS-ESPRESSO-1KG"]}, "quantity": {"type": "integer", "format": "int64", "minimum": 1}}}}}}},
    "securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer"}}
  }
}`
