package app

import (
	"context"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/modules/inventory"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/laws"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// Module is a part of the program: one of the product's own, or one that WithModule adds.
// All of them stand in one list and are treated alike.
//
// What else a module can do is found by assertion: HasWorkers, HasQueues, Runner,
// BackgroundWorker, HasMigrations, EventConsumer, HasSteps, Observer,
// HasInvariants, HasAuditActions and HasErrorCodes. A module
// makes sure that it has an ability with a line such as
//
//	var _ app.EventConsumer = (*Module)(nil)
type Module interface {
	// Name is in lower-case letters, digits and underscores, and no other module has it.
	// The database keeps it, so it never changes.
	Name() string
	// Routes registers the module's routes with web.Handle and web.API.Raw. It is called once.
	// It panics, as web.Handle does, over a route that could not work.
	Routes(api *web.API)
}

// HasWorkers is a module with jobs. Workers registers what works each kind of job; it is
// called only on nodes with the role "worker".
type HasWorkers interface {
	// Workers adds the workers to w. It is called once for each node.
	Workers(w *river.Workers)
}

// HasQueues is a module whose jobs wait in queues of their own, so that jobs that wait for
// other servers do not take the slots of those that do not. Queues tells how many jobs of
// each queue run at once on a node.
type HasQueues interface {
	// Queues returns the number of concurrent jobs on one node by the name of the queue.
	Queues() map[string]int
}

// Runner is a module with something that runs on every node. Run returns nil soon after ctx
// ends, which is when requests and jobs have ended. An error stops the node.
type Runner interface {
	// Run returns when ctx has ended, or with the error that stops the node.
	Run(ctx context.Context) error
}

// BackgroundWorker is a module with something that runs on nodes with the role "worker", on
// all of them at once. Work returns nil soon after ctx ends, which is when requests have
// ended. An error stops the node.
type BackgroundWorker interface {
	// Work returns when ctx has ended, or with the error that stops the node.
	Work(ctx context.Context) error
}

// HasMigrations is a module with tables. Migrations holds goose migrations at its top level,
// such as 1_coupons.sql. They are applied after the product's own, by "orderflow migrate" and
// in development by every start, and counted in a version table of the module's. A node of
// the previous version works on the migrated schema until it is replaced, so migrations add
// before they remove.
type HasMigrations interface {
	// Migrations returns the files, whose numbers are unique within the module.
	Migrations() fs.FS
}

// EventConsumer is a module that follows the event log. Consume gets every event that is
// committed after the module's first migration, in the order of the log, up to 500 at a
// time, on one of the nodes with the role "worker". The module's position moves in tx, so
// what Consume writes with tx happens exactly once for each event. After an error Consume
// gets the same events again, one second later.
type EventConsumer interface {
	// Consume processes the events of list within tx, which the caller commits.
	Consume(ctx context.Context, tx pgx.Tx, list []events.Event) error
}

// HasSteps is a module with steps that every order passes before its payment begins; see
// WithStep. Steps is called once, before anything runs. A step may use the module's tables
// with Platform.Pool: a Check runs outside any transaction.
type HasSteps interface {
	// Steps returns the steps in the order in which an order passes them.
	Steps() []orders.Step
}

// Observer is a module with metrics of its own. The names should begin with the module's.
type Observer interface {
	// Observe registers the metrics. It panics if a name is taken, as MustRegister does.
	Observe(r prometheus.Registerer)
}

// HasInvariants is a module with statements for "orderflow verify".
type HasInvariants interface {
	// Invariants returns the statements, whose names are unique within the program.
	Invariants() []Invariant
}

// HasAuditActions is a module that records its changes in the audit trail with audit.Record.
type HasAuditActions interface {
	// AuditActions lists the actions that the module records, for the filters of GET /v1/audit.
	AuditActions() []audit.Action
}

// HasErrorCodes is a module that documents the codes of its faults, which then are in the list of codes
// of the guide (/guide), to which the type of each problem document links.
type HasErrorCodes interface {
	// ErrorCodes returns the codes that the module uses beside those of every route.
	ErrorCodes() fault.Catalog
}

// Invariant is one statement that must always hold in the database. Its name is in
// kebab-case and unique, such as coupons-once. Its query is read in one snapshot with all
// others, without a time limit. Reports name the module in place of Spec.
type Invariant = laws.Law

// Platform is what the product gives to a module or a payment provider that is added to it.
//
// A constructor only keeps it. It is called more than once, and the first time to learn
// what the program consists of: then there is no database behind Pool, Queue and the others.
type Platform struct {
	Pool *postgres.Pool
	// Queue inserts River jobs, in a transaction too.
	Queue *queue.Client
	Log   *slog.Logger
	// InFlight is for idempotency.Do.
	InFlight *idempotency.InFlight
	// Orders and Catalogue are the use cases of the product. They are nil to a payment
	// provider, which comes first.
	Orders    *orders.Module
	Catalogue *inventory.Module
	// Production is true in production, where no secret has a default (APP_ENV).
	Production bool
}
