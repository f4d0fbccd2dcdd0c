package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/uuidv7"
)

// refuseWanted says what is wrong with an order whatever is in the catalogue, or is nil.
// It fills in defaults.
func (m *Module) refuseWanted(w *OrderRequest) *fault.Error {
	if len(w.Metadata) > maxMetadata {
		return fault.Invalid(fault.Field{Pointer: "/metadata", Code: "max-length", Message: "is larger than 16 KiB"})
	}
	if w.PaymentMethod == nil && m.NeedsMethod {
		return fault.Invalid(fault.Field{Pointer: "/paymentMethod", Code: "required", Message: "is required"})
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
		return fault.Invalid(faults...)
	}

	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an order id: %w", err)
	}
	at := uuidv7.Time(id)
	p.version = version
	p.lines = lines
	p.row = &ent.Order{
		ID: id, UserID: p.caller.UserID, PaymentMethod: p.wanted.PaymentMethod, Currency: total.Currency, Total: total.Amount,
		OnShortage: p.wanted.OnShortage, CreatedAt: at,
	}
	Given(p.wanted.GivenRequest).store(p.row)
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
func price(items []OrderRequestItem, offer func(string) (string, money.Money, bool, bool)) (lines []Line, total money.Money, faults []fault.Field) {
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

const maxMetadata = 16 << 10

func skusOf(items []OrderRequestItem) []string {
	skus := make([]string, len(items))
	for i := range items {
		skus[i] = items[i].SKU
	}
	return skus
}
