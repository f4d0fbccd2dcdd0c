package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/text/unicode/norm"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/uuidv7"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// newPlacement sets the defaults of a request and validates what does not depend on the catalogue.
// The faults are reported together with those of its prices.
func (m *Module) newPlacement(ctx context.Context, caller identity.Caller, w OrderRequest) *placement {
	p := &placement{m: m, caller: caller, request: w, trace: traceOf(ctx)}
	if len(w.Metadata) > maxMetadata {
		p.faults = append(p.faults, fault.Field{Pointer: "/metadata", Code: "max-length", Message: "is larger than 16 KiB"})
	}
	if w.PaymentMethod == nil && m.NeedsMethod {
		p.faults = append(p.faults, fault.Field{Pointer: "/paymentMethod", Code: "required", Message: "is required"})
	}
	if w.OnShortage == "" {
		p.request.OnShortage = storage.FailOnShortage
	}
	if w.Reference != nil {
		p.request.Reference = new(norm.NFC.String(*w.Reference))
	}
	return p
}

// check returns the faults that Place would find in a request that the schema refuses.
func (m *Module) check(ctx context.Context, w OrderRequest) error {
	return m.prepare(ctx, m.newPlacement(ctx, identity.MustFromContext(ctx), w))
}

// prepare validates and prices an order before it joins the batch.
func (m *Module) prepare(ctx context.Context, p *placement) error {
	offer, version, err := m.Catalogue.Offers(ctx, skusOf(p.request.Items))
	if err != nil {
		return err
	}
	err = p.price(ctx, offer, version)
	if _, isFault := fault.As(err); !isFault {
		return err
	}
	// The client may have changed the catalogue on another node just before. Only the
	// database decides on a rejection, not this node's cache (SPEC F9).
	return postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) error {
		offer, version, err := m.Catalogue.OffersIn(ctx, tx, skusOf(p.request.Items))
		if err != nil {
			return err
		}
		return p.price(ctx, offer, version)
	})
}

// price makes the order's rows from the request and the catalogue. Its fault lists all
// invalid lines.
func (p *placement) price(ctx context.Context, offer func(string) (string, money.Money, bool, bool), version int64) error {
	lines, total, faults := p.m.price(p.request.Items, offer)
	if faults = append(faults, p.faults...); len(faults) > 0 {
		return fault.Invalid(faults...)
	}
	if expected := p.request.ExpectedTotal; expected != nil && *expected != total {
		return priceChanged(total)
	}

	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an order id: %w", err)
	}
	at := uuidv7.Time(id)
	p.version = version
	p.lines = lines
	p.row = &ent.Order{
		ID: id, UserID: p.caller.UserID, PaymentMethod: p.request.PaymentMethod, Currency: total.Currency, Total: total.Amount,
		OnShortage: p.request.OnShortage, CreatedAt: at,
	}
	Given(p.request.GivenRequest).store(p.row)
	placed := lifecycle.Load(storage.State(p.row), lifecycle.Deadlines{}, p.caller.Actor(), at)
	placed.Record(lifecycle.Place(placed.Terms))
	storage.Fill(placed, p.row)
	return p.render(ctx, placed.Recorded[0])
}

func priceChanged(total money.Money) *fault.Error {
	return fault.New(fault.KindConflict, "price-changed", "The total is %d %s in minor units, not what was expected.", total.Amount, total.Currency).
		With("total", total)
}

// render makes the first event and the response. It runs on the caller's goroutine before
// the transaction, so that the batch only has to write.
func (p *placement) render(ctx context.Context, placed lifecycle.Event) (err error) {
	o := snapshot(storage.Full{Row: p.row, Lines: p.lines})
	accepted := o
	accepted.Steps = nil // the event describes the order before it has steps
	if p.event, err = encodeEvent(placed, p.row.UserID, &accepted); err != nil {
		return err
	}
	o.AllowedActions = p.m.allowedActions(p.row, p.caller)
	p.placed, err = p.key.Result(ctx, o)
	if err != nil {
		return fmt.Errorf("render order %s: %w", p.row.ID, err)
	}
	return nil
}

// price returns the lines with names and prices from the catalogue, and their exact total.
func (m *Module) price(items []OrderRequestItem, offer func(string) (string, money.Money, bool, bool)) (lines []Line, total money.Money, faults []fault.Field) {
	reject := func(i int, member, code, message string) {
		faults = append(faults, fault.Field{Pointer: fmt.Sprintf("/items/%d/%s", i, member), Code: code, Message: message})
	}

	lines = make([]Line, len(items))
	for i, item := range items {
		name, unit, active, known := offer(item.SKU)
		switch {
		case !known:
			reject(i, "sku", "unknown-sku", "is not in the catalogue")
			continue
		case !active:
			reject(i, "sku", "inactive-sku", "is not for sale at present")
			continue
		case total.Currency == "":
			total.Currency = unit.Currency
		case total.Currency != unit.Currency:
			reject(i, "sku", "currency-mismatch", "is priced in "+unit.Currency+", the order in "+total.Currency)
			continue
		}

		sum, err := money.Times(unit.Amount, item.Quantity)
		if err == nil {
			total.Amount, err = money.Plus(total.Amount, sum)
		}
		if err != nil {
			reject(i, "quantity", "overflow", "makes the total exceed the largest possible amount")
			continue
		}
		lines[i] = Line{
			SKU: item.SKU, Name: name, Quantity: item.Quantity, UnitPrice: unit, Total: money.Money{Amount: sum, Currency: unit.Currency},
		}
	}
	if len(faults) == 0 && m.CheckAmount != nil {
		if why := m.CheckAmount(total); why != "" {
			faults = append(faults, fault.Field{Pointer: "/items", Code: "amount-not-payable", Message: fmt.Sprintf("the total of %d %s %s", total.Amount, total.Currency, why)})
		}
	}
	return lines, total, faults
}

const maxMetadata = 16 << 10

func skusOf(items []OrderRequestItem) []string {
	skus := make([]string, len(items))
	for i := range items {
		skus[i] = items[i].SKU
	}
	return skus
}
