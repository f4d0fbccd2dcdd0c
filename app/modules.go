package app

import (
	"cmp"
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/redis"
	auditmodule "github.com/orderflow-dev/orderflow/modules/audit"
	"github.com/orderflow-dev/orderflow/modules/auth"
	"github.com/orderflow-dev/orderflow/modules/inventory"
	"github.com/orderflow-dev/orderflow/modules/notifications"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/users"
	"github.com/orderflow-dev/orderflow/modules/webhooks"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// constructors are those of the product's modules, each behind what it needs. This is the
// one place where they meet: a new module is one line here.
func (n *node) constructors() []NewModule {
	return []NewModule{
		n.newUsers, n.newAuth, n.newInventory, n.newPayments, n.newOrders, n.newWebhooks, n.newNotifications, n.newAudit,
	}
}

type usersModule struct{ *users.Module }

func (usersModule) Name() string { return "users" }

func (n *node) newUsers(*Platform) (Module, error) {
	n.users = users.New(users.Deps{
		Pool: n.pool, Sessions: n.sessions, Cost: n.cfg.BcryptCost, HashCommand: hashCommand, HashWait: n.limits.hash, Log: n.log,
		Limiter: n.limiter, RegistrationLimit: redis.Limit(*cmp.Or(n.cfg.RegistrationRateLimit, &config.Limit{})),
	})
	return usersModule{n.users}, nil
}

type authModule struct{ *auth.Module }

func (authModule) Name() string { return "auth" }

func (n *node) newAuth(*Platform) (Module, error) {
	wake := n.channel("sessions", func() { n.auth.Look() })
	n.auth = auth.New(auth.Deps{
		Pool: n.pool, Sessions: n.sessions, Accounts: n.users, Limiter: n.limiter, LoginLimit: redis.Limit(n.cfg.LoginRateLimit),
		Keys: n.keys, Issuer: n.cfg.Issuer, Audience: n.cfg.Audience, FailedLookupLimit: redis.Limit(n.cfg.RateLimit),
		SessionMaxAge: n.cfg.SessionMaxAge, SessionsPerAccount: n.cfg.SessionsPerAccount, KeysPerAccount: n.limits.keys, Wake: wake, Log: n.log,
	})
	return authModule{n.auth}, nil
}

type inventoryModule struct{ *inventory.Module }

func (inventoryModule) Name() string { return "inventory" }

func (n *node) newInventory(p *Platform) (Module, error) {
	changed := n.channel("catalogue", func() { n.inventory.Forget() })
	n.inventory = inventory.New(inventory.Deps{Pool: n.pool, InFlight: p.InFlight, Changed: changed, Log: n.log})
	p.Catalogue = n.inventory
	return inventoryModule{n.inventory}, nil
}

// paymentsModule has routes below those of an order, and asks the orders module who may see it.
type paymentsModule struct {
	*payments.Module
	n *node
}

func (paymentsModule) Name() string { return "payments" }

func (m paymentsModule) Routes(api *web.API) { m.Module.Routes(api, m.n.orders) }

func (n *node) newPayments(p *Platform) (Module, error) {
	provider, err := n.provider(p)
	if err != nil {
		return nil, err
	}
	n.payments = payments.New(payments.Deps{Pool: n.pool, Provider: provider})
	return paymentsModule{n.payments, n}, nil
}

type ordersModule struct{ *orders.Module }

func (ordersModule) Name() string { return "orders" }

func (m ordersModule) Work(ctx context.Context) error { return m.Sweep(ctx) }

func (n *node) newOrders(p *Platform) (Module, error) {
	n.orders = orders.New(orders.Deps{
		Pool: n.pool, Queue: p.Queue, Events: n.eventLog, Catalogue: n.inventory, Stock: n.inventory,
		Open:        func(b *pgx.Batch, ids []uuid.UUID) orders.Settlement { return n.payments.Open(b, ids) },
		NeedsMethod: n.payments.NeedsMethod(), ReservationTTL: n.cfg.ReservationTTL, InFlight: p.InFlight, CurrentCaller: n.auth.CurrentCaller, Reads: n.reads,
		Wake: func() { n.tail.Wake(); n.wakeEvents() }, Log: n.log, Metrics: n.registry,
	})
	p.Orders = n.orders
	return ordersModule{n.orders}, nil
}

type webhooksModule struct{ m *webhooks.Module }

func (webhooksModule) Name() string { return "webhooks" }

func (w webhooksModule) Routes(api *web.API) { w.m.Routes(api) }

func (w webhooksModule) Workers(workers *river.Workers) { w.m.Workers(workers) }

func (webhooksModule) Queues() map[string]int {
	return map[string]int{webhooks.Queue: webhooks.Workers}
}

func (w webhooksModule) Work(ctx context.Context) error { return w.m.Run(ctx) }

func (w webhooksModule) AuditActions() []audit.Action { return w.m.AuditActions() }

func (n *node) newWebhooks(p *Platform) (Module, error) {
	n.webhooks = webhooks.New(webhooks.Deps{
		Pool: n.pool, Queue: p.Queue, Events: n.eventLog, Roles: n.users.Roles, Keys: n.auth.KeyScopes, Redact: n.orders.Redact, Types: events.Types(orders.Kinds()), InFlight: p.InFlight,
		Plaintext: !n.cfg.IsProduction(), Allowed: n.cfg.WebhookNetworks, Keep: n.cfg.WebhookRetention, Version: versionOf(),
		Tracers: n.tracers, Log: n.log, Metrics: n.registry,
	})
	n.auth.OnChange(n.webhooks.Revoked)
	if n.cfg.Has("worker") {
		n.tail.Subscribe(func([]events.Event, events.Cursor) { n.webhooks.Wake() })
		n.tail.OnRewritten(func(events.Cursor) { n.webhooks.Wake() })
	}
	return webhooksModule{n.webhooks}, nil
}

type notificationsModule struct{ *notifications.Module }

func (notificationsModule) Name() string { return "notifications" }

func (m notificationsModule) Work(ctx context.Context) error {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return m.FillInboxes(ctx) })
	both.Go(func() error { return m.CleanInboxes(ctx) })
	return both.Wait()
}

func (n *node) newNotifications(*Platform) (Module, error) {
	wake := n.channel("inbox", func() { n.notifications.Look() })
	n.notifications = notifications.New(notifications.Deps{
		Pool: n.pool, Events: n.eventLog, Tail: n.tail, Sessions: n.auth, Orders: n.orders, Kinds: orders.Kinds(), Origins: n.cfg.Origins,
		Keep: n.cfg.EventRetention, KeepNotes: n.cfg.NotificationRetention, Reads: n.reads, StreamsPerAccount: n.cfg.StreamsPerAccount,
		Counted: func() { n.notifications.Look(); wake() },
		Log:     n.log, Metrics: n.registry,
	})
	n.auth.OnChange(n.notifications.Revoked)
	return notificationsModule{n.notifications}, nil
}

type auditModule struct{ *auditmodule.Module }

func (auditModule) Name() string { return "audit" }

func (n *node) newAudit(*Platform) (Module, error) {
	keys, err := audit.ParseKeys(n.cfg.AuditKeys.Reveal())
	if err != nil {
		return nil, err
	}
	sealer := audit.NewSealer(n.pool, keys, n.cfg.AuditRetention, n.log)
	n.audit = auditmodule.New(auditmodule.Deps{Pool: n.pool, Sealer: sealer, Actions: n.auditActions})
	return auditModule{n.audit}, nil
}
