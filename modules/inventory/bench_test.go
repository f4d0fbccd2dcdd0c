package inventory

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
)

// Reserving and releasing for 500 orders of three skus, of 10,000.
func BenchmarkReserve(b *testing.B) {
	s := setup(b)
	_, err := s.pool.Exec(context.Background(), `
		insert into products (sku, name, unit_price, currency, stock, created_at, updated_at)
		select 'sku-' || n, 'x', 1, 'EUR', 1000000, now(), now() from generate_series(0, 9999) n`)
	must(b, err)

	n := 0
	for b.Loop() {
		batch, orders := make([]wants, 500), make([]uuid.UUID, 500)
		for i := range batch {
			w := wants{uuid.New(), map[string]int64{}}
			for range 3 {
				n++
				w.units[fmt.Sprintf("sku-%d", n*7919%10_000)] = 1
			}
			batch[i], orders[i] = w, w.order
		}
		short, err := reserve(s.Module, batch...)
		must(b, err)
		if len(short) > 0 {
			b.Fatal("short")
		}
		_, err = release(s.Module, orders...)
		must(b, err)
	}
}

// A basket of ten from memory.
func BenchmarkOffers(b *testing.B) {
	s := setup(b)
	skus := make([]string, 10)
	for i := range skus {
		skus[i] = fmt.Sprint("sku-", i)
	}
	s.stock(nil, skus...)

	for b.Loop() {
		_, _, err := s.Offers(context.Background(), skus)
		must(b, err)
	}
}
