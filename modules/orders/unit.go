package orders

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// unitOfWork is a transaction over locked orders. What is recorded on them, and
// what was decided about their money, is written once, at its end.
type unitOfWork struct {
	m        *Module
	tx       pgx.Tx
	caller   identity.Caller // zero for background work
	orders   []*lockedOrder  // by id
	payments Settlement
	settled  bool // a command on money was carried out, which may concern no event
}

// lockedOrder is an order whose row the transaction has locked.
type lockedOrder struct {
	*lifecycle.Order
	row   *ent.Order
	lines []Line
}

// current is the order as it is after the events recorded so far.
func (o *lockedOrder) current() storage.Full {
	storage.Fill(o.Order, o.row)
	return storage.Full{Row: o.row, Lines: o.lines, Steps: o.Steps}
}

// record keeps a decided event, or returns the refusal.
func (o *lockedOrder) record(e lifecycle.Event, refused error) error {
	if refused != nil {
		return refused
	}
	o.Record(e)
	return nil
}

// withLocked runs do over locked orders in one transaction as the system, writes
// what it recorded, and announces that once it is committed.
func (m *Module) withLocked(ctx context.Context, ids []uuid.UUID, do func(u *unitOfWork) error) error {
	return m.withFound(ctx, func(pgx.Tx) ([]uuid.UUID, error) { return ids, nil }, do)
}

// withFound is withLocked for orders that the same transaction finds.
func (m *Module) withFound(ctx context.Context, find func(pgx.Tx) ([]uuid.UUID, error), do func(u *unitOfWork) error) error {
	var changed []*lockedOrder
	err := postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) error {
		changed = nil
		ids, err := find(tx)
		if err != nil || len(ids) == 0 {
			return err
		}
		u, err := m.open(ctx, tx, ids, identity.System)
		if err != nil {
			return err
		}
		if err := do(u); err != nil {
			return err
		}
		changed, err = u.write(ctx)
		return err
	})
	if err == nil {
		m.announce(changed)
	}
	return err
}

// open locks orders and reads what belongs to them, in one round trip.
func (m *Module) open(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, actor identity.Actor) (*unitOfWork, error) {
	var rows []*ent.Order
	lines, steps := make(map[uuid.UUID][]Line, len(ids)), map[uuid.UUID][]storage.StoredStep{}
	u := &unitOfWork{m: m, tx: tx}
	b := &pgx.Batch{}
	storage.QueueLock(b, ids, &rows)
	u.payments = m.Open(b, ids)
	storage.QueueLines(b, ids, lines)
	storage.QueueSteps(b, ids, steps)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("lock orders: %w", err)
	}
	list, err := storage.Join(rows, lines, steps)
	if err != nil {
		return nil, fmt.Errorf("lock orders: %w", err)
	}
	now := events.Now()
	for _, o := range list {
		u.orders = append(u.orders, &lockedOrder{
			Order: lifecycle.Load(o.State(), storage.Deadlines(o.Row), actor, now), row: o.Row, lines: o.Lines,
		})
	}
	return u, nil
}

// find returns an order of the unit, nil when it does not exist.
func (u *unitOfWork) find(id uuid.UUID) *lockedOrder {
	i, found := slices.BinarySearchFunc(u.orders, id, func(o *lockedOrder, id uuid.UUID) int { return bytes.Compare(o.ID[:], id[:]) })
	if !found {
		return nil
	}
	return u.orders[i]
}

// settle carries out a command on an order's money and records what it changed.
func (u *unitOfWork) settle(o *lockedOrder, c settlement.Command) (settlement.Change, error) {
	u.settled = true
	change, err := u.payments.Apply(o.ID, c)
	if err != nil || change.Outcome == settlement.None {
		return change, err
	}
	recorded := lifecycle.PaymentChange{
		Event: paymentEvents[change.Outcome], Amount: change.Amount, Refunding: change.Refunding, FailedRefunds: change.FailedRefunds,
	}
	if d := change.Decline; d != nil {
		recorded.Code, recorded.Detail = d.Code, d.Detail
	}
	o.Record(o.RecordPayment(recorded))
	return change, nil
}

// write stores the changed orders, appends their events, writes what was decided
// about payments, and adds a job for each order that needs one: one round trip for
// any number of orders, and one more for the jobs.
func (u *unitOfWork) write(ctx context.Context) (changed []*lockedOrder, err error) {
	changed = slices.DeleteFunc(slices.Clone(u.orders), func(o *lockedOrder) bool { return !o.Changed() })
	if len(changed) == 0 && !u.settled {
		return nil, nil
	}
	list, err := eventsOf(changed)
	if err != nil {
		return nil, err
	}
	var updated int64
	b := &pgx.Batch{}
	if len(changed) > 0 {
		storage.QueueUpdate(b, updatesOf(changed), &updated)
		for _, o := range changed {
			storage.QueueResolution(b, o.Order)
		}
		storage.QueueStepChanges(b, aggregates(changed))
		events.AppendBatch(b, list)
		storage.QueueCounts(b, storage.MovedCounts(aggregates(changed)))
	}
	u.payments.Queue(b) // a payment that begins after a released step changes no order
	if err := u.tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("write %d orders: %w", len(changed), err)
	}
	if updated != int64(len(changed)) {
		return nil, errors.New("an order changed under its lock")
	}
	return changed, u.insertJobs(ctx, changed)
}

func updatesOf(changed []*lockedOrder) []storage.Update {
	list := make([]storage.Update, len(changed))
	for i, o := range changed {
		list[i] = storage.Update{Row: o.current().Row, Loaded: o.Loaded().Version}
	}
	return list
}

func aggregates(changed []*lockedOrder) []*lifecycle.Order {
	list := make([]*lifecycle.Order, len(changed))
	for i, o := range changed {
		list[i] = o.Order
	}
	return list
}

func eventsOf(changed []*lockedOrder) (list []events.Event, err error) {
	for _, o := range changed {
		for _, recorded := range o.Recorded {
			e, err := encodeEvent(recorded, o.UserID, nil)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
	}
	return list, nil
}

func (u *unitOfWork) insertJobs(ctx context.Context, changed []*lockedOrder) error {
	var jobs []river.InsertManyParams
	for _, o := range changed {
		if o.NeedsJob {
			opts := &river.InsertOpts{Priority: u.m.priorities.resumed(o.UserID, time.Now())}
			jobs = append(jobs, river.InsertManyParams{Args: ProcessArgs{OrderID: o.ID}, InsertOpts: opts})
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	if _, err := u.m.Queue.InsertManyFastTx(ctx, u.tx, jobs); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	return nil
}

// announce tells the metrics what a committed transaction did, and wakes the
// consumers of the log.
func (m *Module) announce(changed []*lockedOrder) {
	if len(changed) == 0 {
		return
	}
	for _, o := range changed {
		for _, e := range o.Recorded {
			if e.Data.PreviousStatus != "" {
				m.metrics.moved.WithLabelValues(string(e.Data.Status)).Inc()
			}
		}
	}
	m.Wake()
}
