package orders

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Quote has the current price of an order and whether the stock suffices. It reserves nothing.
type Quote struct {
	Items     []QuoteItem `json:"items" nullable:"false"`
	Total     money.Money `json:"total"`
	Available bool        `json:"available" doc:"Whether the stock suffices for all lines"`
	Shortages []Shortage  `json:"shortages" nullable:"false" doc:"The skus whose stock does not suffice"`
}

// QuoteItem is a line of a quote.
type QuoteItem struct {
	Line
	Available bool `json:"available" doc:"Whether the stock of the sku suffices for all lines with this sku"`
}

// Shortage is a sku whose stock does not suffice.
type Shortage struct {
	SKU       string `json:"sku"`
	Requested int64  `json:"requested" doc:"The units of all lines with this sku"`
	Available int64  `json:"available"`
}

// Quote prices the items with the current catalogue of the database and compares them with the
// available stock (SPEC C11). Its faults are those of Place.
func (m *Module) Quote(ctx context.Context, items []OrderRequestItem) (Quote, error) {
	skus := skusOf(items)
	var offer func(string) (string, money.Money, bool, bool)
	err := postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) (err error) {
		offer, _, err = m.Catalogue.OffersIn(ctx, tx, skus)
		return err
	})
	if err != nil {
		return Quote{}, err
	}
	lines, total, faults := m.price(items, offer)
	if len(faults) > 0 {
		return Quote{}, fault.Invalid(faults...)
	}
	left, err := m.Stock.Available(ctx, skus)
	if err != nil {
		return Quote{}, err
	}

	q := Quote{Total: total, Shortages: shortages(sumBySKU(lines), left)}
	q.Available = len(q.Shortages) == 0
	short := make(map[string]bool, len(q.Shortages))
	for _, s := range q.Shortages {
		short[s.SKU] = true
	}
	for _, line := range lines {
		q.Items = append(q.Items, QuoteItem{Line: line, Available: !short[line.SKU]})
	}
	return q, nil
}

// shortages compares the units, summed by sku, with the available ones; nil means that the
// stock is not tracked. A product that was deleted after pricing is absent and has no units.
func shortages(wanted []lifecycle.StockItem, left map[string]*int64) (short []Shortage) {
	for _, w := range wanted {
		units, there := left[w.SKU]
		switch {
		case !there:
			short = append(short, Shortage{w.SKU, w.Quantity, 0})
		case units != nil && *units < w.Quantity:
			short = append(short, Shortage{w.SKU, w.Quantity, *units})
		}
	}
	return short
}
