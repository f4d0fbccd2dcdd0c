package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// product is an article with tracked stock that never runs out.
type product struct {
	sku, name string
	cents     int64
}

var products = []product{
	{"BEANS-ESPRESSO-1KG", "Espresso beans, 1 kg", 2490},
	{"BEANS-FILTER-250G", "Filter beans, washed, 250 g", 1150},
	{"FILTERS-V60-100", "Paper filters for V60, 100 pieces", 590},
	{"GRINDER-HAND-01", "Hand grinder, steel burrs", 8900},
	{"KETTLE-GOOSENECK", "Gooseneck kettle, 0.9 l", 6450},
	{"MACHINE-LEVER-PRO", "Lever espresso machine", 124900},
	{"SCALE-TIMER", "Scale with timer, 0.1 g", 4290},
	{"CUP-PORCELAIN-180", "Porcelain cup, 180 ml", 1290},
}

const plenty = 1_000_000_000

// prepare logs the administrator in and fills the catalogue.
func (s *server) prepare(context.Context) (err error) {
	if s.token, err = s.login(adminEmail); err != nil {
		return err
	}
	for _, p := range products {
		err := s.call(http.MethodPost, "/v1/products", s.token, map[string]any{
			"sku": p.sku, "name": p.name, "stock": plenty,
			"unitPrice": map[string]any{"amount": p.cents, "currency": "EUR"},
		}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *server) login(email string) (token string, err error) {
	var out struct {
		AccessToken string `json:"accessToken"`
	}
	err = s.call(http.MethodPost, "/v1/auth/login", "", map[string]any{"email": email, "password": password}, &out)
	return out.AccessToken, err
}

func email(i int) string { return fmt.Sprintf("user%d@bench.example", i) }

// people creates n accounts: the first one registers, the others are copies of its row.
func (s *server) people(ctx context.Context, n int) error {
	err := s.call(http.MethodPost, "/v1/auth/register", "", map[string]any{"email": email(0), "password": password}, nil)
	if err != nil {
		return err
	}
	_, err = s.db.Exec(ctx, `
		insert into users (id, email, email_key, name, role, active, password_hash, created_at, updated_at)
		select gen_random_uuid(), 'user' || i || '@bench.example', 'user' || i || '@bench.example', '', role, active, password_hash, created_at, updated_at
		from users, generate_series(1, $2::int) i where email = $1`, email(0), n-1)
	return err
}

// tokens logs n of them in.
func (s *server) tokens(ctx context.Context, n int) ([]string, error) {
	list := make([]string, n)
	some, ctx := errgroup.WithContext(ctx)
	some.SetLimit(2) // more concurrent log-ins get a 503 (SPEC A2)
	for i := range list {
		some.Go(func() (err error) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			list[i], err = s.login(email(i))
			for try := 0; try < 5 && busy(err); try++ {
				pause(ctx, 100*time.Millisecond)
				list[i], err = s.login(email(i))
			}
			return err
		})
	}
	return list, some.Wait()
}

func busy(err error) bool {
	refused, ok := errors.AsType[*refusal](err)
	return ok && refused.status == http.StatusServiceUnavailable
}
