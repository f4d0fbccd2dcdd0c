package orders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/batch"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Wanted is what a client asks for. Names and prices are not its to say.
type Wanted struct {
	Items         []WantedItem `json:"items" minItems:"1" maxItems:"500" nullable:"false"`
	Reference     *string      `json:"reference,omitzero" minLength:"1" maxLength:"100" doc:"Your own number, unique among your orders"`
	Note          *string      `json:"note,omitzero" maxLength:"2000"`
	Metadata      Metadata     `json:"metadata,omitzero"`
	PaymentMethod *string      `json:"paymentMethod,omitzero" minLength:"1" maxLength:"255" doc:"What pays: a token of the payment provider"`
	OnShortage    string       `json:"onShortage,omitempty" enum:"fail,hold" default:"fail" doc:"What to do when stock does not suffice"`
}

// WantedItem is one line of a basket. A sku may stand in several lines.
type WantedItem struct {
	SKU      string `json:"sku" minLength:"1" maxLength:"64"`
	Quantity int64  `json:"quantity" minimum:"1" maximum:"1000000"`
}

const maxMetadata = 16 << 10

// placement is an order on its way into the database.
type placement struct {
	caller  identity.Caller
	wanted  Wanted
	key     idempotency.Key[Order]
	trace   []byte // metadata of its job: the trace that the request belongs to
	version int64  // of the catalogue that it was priced with

	row    *ent.Order
	lines  []Line
	placed idempotency.Result[Order] // with the response that is stored with the key
	event  events.Event
}

// Place accepts an order. When it returns without an error the order, its lines,
// its first event, its key and its job are committed (SPEC C2). Its faults are
// those of C1 and C4; an error that wraps batch.ErrUnknown leaves open whether
// the order exists, and the client learns it by repeating the key.
func (m *Module) Place(ctx context.Context, caller identity.Caller, w Wanted, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	key.Still = stillPlaced
	leave, err := m.Running.Enter(key.Request)
	if err != nil {
		return idempotency.Result[Order]{}, err
	}
	defer leave()

	p := &placement{caller: caller, wanted: w, key: key, trace: traceOf(ctx)}
	if err := m.prepare(ctx, p); err != nil {
		return m.replayOr(ctx, key, err)
	}

	placed, err := m.placing.Do(ctx, p)
	switch {
	case errors.Is(err, batch.ErrBusy), errors.Is(err, batch.ErrStopped):
		return idempotency.Result[Order]{}, fault.Away("The order queue", err)
	case unknown(err):
		e := fault.New(fault.Unavailable, "outcome-unknown",
			"It is not known whether the order was accepted. Repeat the request with its Idempotency-Key or reference.")
		e.RetryAfter = 2 * time.Second
		return idempotency.Result[Order]{}, e.Because(err)
	}
	return placed, err
}

func unknown(err error) bool {
	var commit *postgres.CommitError
	return errors.Is(err, batch.ErrUnknown) || errors.As(err, &commit) && commit.Unknown()
}

// replayOr gives the stored response when the basket was acceptable once but is no
// longer: a repeated request gets what the first one got.
func (m *Module) replayOr(ctx context.Context, key idempotency.Key[Order], refused error) (idempotency.Result[Order], error) {
	if _, told := fault.As(refused); !told || !key.Given() {
		return idempotency.Result[Order]{}, refused
	}
	stored, found, err := idempotency.Find(ctx, m.Pool, key)
	if err == nil && !found {
		err = refused
	}
	return stored, err
}

// refuseWanted says what is wrong with an order whatever is in the catalogue, or is nil.
// It fills in defaults.
func (m *Module) refuseWanted(w *Wanted) *fault.Error {
	if len(w.Metadata) > maxMetadata {
		return fault.Unprocessable(fault.Field{Pointer: "/metadata", Code: "max-length", Message: "is larger than 16 KiB"})
	}
	if w.PaymentMethod == nil && m.NeedsMethod {
		return fault.Unprocessable(fault.Field{Pointer: "/paymentMethod", Code: "required", Message: "is required"})
	}
	if w.OnShortage == "" {
		w.OnShortage = storage.FailOnShortage
	}
	return nil
}

func (m *Module) prepare(ctx context.Context, p *placement) error {
	if f := m.refuseWanted(&p.wanted); f != nil {
		return f
	}
	offer, version, err := m.Catalogue.Offers(ctx, skusOf(p.wanted.Items))
	if err != nil {
		return err
	}
	err = p.price(ctx, offer, version)
	if _, told := fault.As(err); !told {
		return err
	}
	// Whom we refuse may have changed the catalogue on another node a moment ago:
	// refuse by the database, not by what this node remembers (SPEC F9).
	return postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) error {
		offer, version, err := m.Catalogue.OffersIn(ctx, tx, skusOf(p.wanted.Items))
		if err != nil {
			return err
		}
		return p.price(ctx, offer, version)
	})
}

// price makes the order's rows from the basket and the catalogue. It names every
// unfit line at once.
func (p *placement) price(ctx context.Context, offer func(string) (string, money.Money, bool, bool), version int64) error {
	lines, total, faults := price(p.wanted.Items, offer)
	if len(faults) > 0 {
		return fault.Unprocessable(faults...)
	}

	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an order id: %w", err)
	}
	at := createdAt(id)
	p.version = version
	p.lines = lines
	p.row = &ent.Order{
		ID: id, UserID: p.caller.UserID, PaymentMethod: p.wanted.PaymentMethod, Currency: total.Currency, Total: total.Amount,
		OnShortage: p.wanted.OnShortage, Reference: p.wanted.Reference, Note: p.wanted.Note, Metadata: []byte(p.wanted.Metadata),
		CreatedAt: at,
	}
	placed := lifecycle.Load(storage.State(p.row), lifecycle.Deadlines{}, p.caller.Actor(), at)
	placed.Record(lifecycle.Place(placed.Terms))
	storage.Fill(placed, p.row)
	return p.render(ctx, placed.Recorded[0])
}

// render makes the first event and the response. It runs before the transaction, on
// its caller's goroutine: the batch only writes what is ready.
func (p *placement) render(ctx context.Context, placed lifecycle.Event) (err error) {
	first := snapshot(p.row, p.lines)
	if p.event, err = encodeEvent(placed, p.row.UserID, &first); err != nil {
		return err
	}
	first.AllowedActions = allowedActions(p.row, p.caller)
	p.placed, err = p.key.Result(ctx, first)
	if err != nil {
		return fmt.Errorf("render order %s: %w", p.row.ID, err)
	}
	return nil
}

// price copies names and prices into lines and adds them up, exactly.
func price(items []WantedItem, offer func(string) (string, money.Money, bool, bool)) (lines []Line, total money.Money, faults []fault.Field) {
	refuse := func(i int, member, code, message string) {
		faults = append(faults, fault.Field{Pointer: fmt.Sprintf("/items/%d/%s", i, member), Code: code, Message: message})
	}

	lines = make([]Line, len(items))
	for i, item := range items {
		name, unit, active, known := offer(item.SKU)
		switch {
		case !known:
			refuse(i, "sku", "unknown-sku", "is not in the catalogue")
			continue
		case !active:
			refuse(i, "sku", "inactive-sku", "is not for sale at present")
			continue
		case total.Currency == "":
			total.Currency = unit.Currency
		case total.Currency != unit.Currency:
			refuse(i, "sku", "currency-mismatch", "is priced in "+unit.Currency+", the order in "+total.Currency)
			continue
		}

		sum, err := money.Times(unit.Amount, item.Quantity)
		if err == nil {
			total.Amount, err = money.Plus(total.Amount, sum)
		}
		if err != nil {
			refuse(i, "quantity", "overflow", "makes the total larger than can be counted")
			continue
		}
		lines[i] = Line{
			SKU: item.SKU, Name: name, Quantity: item.Quantity, UnitPrice: unit, Total: money.Money{Amount: sum, Currency: unit.Currency},
		}
	}
	return lines, total, faults
}

// placeAll writes a batch of orders in one transaction: one statement for each
// table, however many orders there are. Those that turn out to have something in
// their way, which is rare, are taken out and written step by step behind the
// others, each with an answer of its own.
func (m *Module) placeAll(ctx context.Context, all []*placement) ([]batch.Result[idempotency.Result[Order]], error) {
	var (
		together = all
		apart    []*placement
		answers  map[*placement]batch.Result[idempotency.Result[Order]]
	)
	for {
		var contested []*placement
		err := postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) (err error) {
			if contested, err = m.insertAll(ctx, tx, together); err != nil {
				return err
			}
			answers, err = m.insertEach(ctx, tx, apart)
			return err
		})
		if err == nil {
			break
		}
		if !errors.Is(err, errContested) {
			return nil, fmt.Errorf("place %d orders: %w", len(all), err)
		}
		apart = append(apart, contested...)
		together = slices.DeleteFunc(slices.Clone(together), func(p *placement) bool { return slices.Contains(contested, p) })
	}

	results := make([]batch.Result[idempotency.Result[Order]], len(all))
	placed := 0
	for i, p := range all {
		r, alone := answers[p]
		if !alone {
			r.Value = p.placed
		}
		if r.Err == nil && !r.Value.Replayed {
			placed++
		}
		results[i] = r
	}
	m.metrics.placed.Add(float64(placed))
	m.Wake()
	return results, nil
}

// insertEach writes placements one after the other in one transaction. A refusal
// is one placement's own; an error of the database ends them all.
func (m *Module) insertEach(ctx context.Context, tx pgx.Tx, list []*placement) (map[*placement]batch.Result[idempotency.Result[Order]], error) {
	results := make(map[*placement]batch.Result[idempotency.Result[Order]], len(list))
	for _, p := range list {
		placed, err := m.insertOne(ctx, tx, p)
		if _, told := fault.As(err); err != nil && !told {
			return nil, err
		}
		results[p] = batch.Result[idempotency.Result[Order]]{Value: placed, Err: err}
	}
	return results, nil
}

func skusOf(items []WantedItem) []string {
	skus := make([]string, len(items))
	for i := range items {
		skus[i] = items[i].SKU
	}
	return skus
}

// createdAt is the time within a UUIDv7: an order's id and its date never differ.
func createdAt(id uuid.UUID) time.Time {
	ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
	return time.UnixMilli(ms).UTC()
}
