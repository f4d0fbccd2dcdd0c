package app

import (
	"cmp"
	"context"
	"strings"

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
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/users"
	"github.com/orderflow-dev/orderflow/modules/webhooks"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
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

func (usersModule) Queues() map[string]int { return map[string]int{users.Queue: users.Workers} }

func (n *node) newUsers(p *Platform) (Module, error) {
	mailer, err := n.newMailer(p)
	if err != nil {
		return nil, err
	}
	n.users = users.New(users.Deps{
		Pool: n.pool, Sessions: n.sessions, DisableWebhooks: n.disableWebhooks, Cost: n.cfg.BcryptCost, HashCommand: hashCommand, HashWait: n.limits.hash, Log: n.log,
		Limiter: n.limiter, RegistrationLimit: redis.Limit(*cmp.Or(n.cfg.RegistrationRateLimit, &config.Limit{})), ResetLimit: redis.Limit(n.cfg.LoginRateLimit),
		Registration: n.cfg.Registration, Mailer: mailer, Queue: p.Queue, MailLinkURL: n.cfg.MailLinkURL,
		VerifyEmail: n.cfg.EmailVerification == config.VerificationRequired, InFlight: p.InFlight,
	})
	return usersModule{n.users}, nil
}

// disableWebhooks is a method of a module that is constructed later.
func (n *node) disableWebhooks(ctx context.Context, tx pgx.Tx, userID uuid.UUID, role identity.Role) error {
	return n.webhooks.DisableOf(ctx, tx, userID, role)
}

type authModule struct{ *auth.Module }

func (authModule) Name() string { return "auth" }

func (n *node) newAuth(*Platform) (Module, error) {
	wake := n.channel("sessions", func() { n.auth.Look() })
	n.auth = auth.New(auth.Deps{
		Pool: n.pool, Sessions: n.sessions, Accounts: n.users, Limiter: n.limiter, LoginLimit: redis.Limit(n.cfg.LoginRateLimit), Notices: n.users,
		Keys: n.keys, Issuer: n.cfg.Issuer, Audience: n.cfg.Audience, FailedLookupLimit: redis.Limit(n.cfg.RateLimit),
		SessionMaxAge: n.cfg.SessionMaxAge, SessionsPerAccount: n.cfg.SessionsPerAccount, KeysPerAccount: n.limits.keys, KeyMaxAge: n.cfg.APIKeyMaxAge,
		TOTP: auth.TOTP{Mode: auth.TOTPMode(n.cfg.AdminTOTP), Keys: n.totpKeys}, Wake: wake, Log: n.log, Metrics: n.registry,
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
		NeedsMethod: n.payments.NeedsMethod(), CheckAmount: n.payments.CheckAmount, OwnerCancelsUntil: lifecycle.Status(strings.ToUpper(n.cfg.CancelUntil)), ReservationTTL: n.cfg.ReservationTTL, InFlight: p.InFlight, CurrentCaller: n.auth.CurrentCaller, Reads: n.reads,
		Budget: orderBudget{n.limiter, redis.Limit(n.cfg.OrderRateLimit)},
		Wake:   func() { n.tail.Wake(); n.wakeEvents() }, Log: n.log, Metrics: n.registry,
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

func (webhooksModule) ErrorCodes() fault.Catalog { return (*webhooks.Module)(nil).ErrorCodes() }

func (n *node) newWebhooks(p *Platform) (Module, error) {
	n.webhooks = webhooks.New(webhooks.Deps{
		Pool: n.pool, Queue: p.Queue, Events: n.eventLog, Roles: n.users.Roles, Keys: n.auth.KeyScopes, AccountExists: n.users.Exists, Redact: n.orders.Redact, Types: events.Types(orders.Kinds()), InFlight: p.InFlight,
		Plaintext: !n.cfg.IsProduction(), Allowed: n.cfg.WebhookNetworks, Ports: n.cfg.WebhookPorts, Keep: n.cfg.WebhookRetention, Version: versionOf(),
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
