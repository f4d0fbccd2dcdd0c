package orders

import (
	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/words"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
)

// terms returns the search terms of an order: those of its reference, note, skus and names.
func terms(row *ent.Order, lines []Line) []string {
	texts := []string{storage.Deref(row.Reference), storage.Deref(row.Note)}
	for _, line := range lines {
		texts = append(texts, line.SKU, line.Name)
	}
	return words.Terms(texts...)
}
