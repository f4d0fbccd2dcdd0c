package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	readClients = 16
	manyIDs     = 2000
)

// reads measures every kind of read of orders on a large database.
func (b *bench) reads(ctx context.Context) error {
	s, err := b.serve(ctx, "api")
	if err != nil {
		return err
	}
	defer s.stop()
	b.report.title("Reads, roles=api")
	if err := s.people(ctx, b.opt.users); err != nil {
		return err
	}
	if err := s.fill(ctx, b.opt.orders); err != nil {
		return err
	}
	readers, err := s.readers(ctx)
	if err != nil {
		return err
	}

	half := time.Now().UTC().Add(-45 * 24 * time.Hour).Format("2006-01-02T15:04:05.000Z")
	b.report.columns()
	for _, q := range []struct {
		what  string
		admin bool
		path  func(r reader) (string, error)
	}{
		{"GET /v1/orders/{id}", false, nil},
		{"own list, first page", false, list("")},
		{"own list, page from the middle", false, func(r reader) (string, error) { return s.from(r, half) }},
		{"own list, status=COMPLETED", false, list("status=COMPLETED")},
		{"own list, q=<a common word>", false, list("q=espresso")},
		{"list of all users, first page", true, list("")},
		{"list of all users, page from the middle", true, func(r reader) (string, error) { return s.from(r, half) }},
		{"list of all users, status=ON_HOLD", true, list("status=ON_HOLD")},
		{"list of all users, status twice", true, list("status=SHIPPED&status=FAILED")},
		{"list of all users, q=<a common word>", true, list("q=espresso")},
		{"list of all users, q=<two words>", true, list("q=porcelain+kettle")},
		{"list of all users, q=<one reference>", true, list(fmt.Sprintf("q=po-%d", b.opt.orders/2))},
		{"list of all users, q=<a word of none>", true, list("q=nothing")},
	} {
		st, err := s.read(ctx, readers, q.admin, q.path)
		if err != nil {
			return fmt.Errorf("%s: %w", q.what, err)
		}
		b.report.step("reads", q.what, readClients, st)
	}
	return nil
}

// reader is a user who reads orders; ids are some of the orders that it may see.
type reader struct {
	token string
	ids   []uuid.UUID
}

func (s *server) readers(ctx context.Context) ([]reader, error) {
	n := min(readClients, s.opt.users)
	tokens, err := s.tokens(ctx, n)
	if err != nil {
		return nil, err
	}
	all := make([]reader, n)
	for i := range all {
		rows, err := s.db.Query(ctx, `
			select o.id from orders o join users u on u.id = o.user_id where u.email = $1 limit $2`, email(i), manyIDs)
		if err != nil {
			return nil, err
		}
		all[i].token = tokens[i]
		if all[i].ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID]); err != nil {
			return nil, err
		}
		if len(all[i].ids) == 0 {
			return nil, fmt.Errorf("%s has no orders: give more -orders or fewer -users", email(i))
		}
	}
	return all, nil
}

// read repeatedly requests the same path, or single orders if there is none.
func (s *server) read(ctx context.Context, readers []reader, admin bool, path func(reader) (string, error)) (step, error) {
	c := s.client(readClients)
	defer c.CloseIdleConnections()
	return s.drive(ctx, readClients, s.opt.timing, func(i int) (worker, error) {
		r := readers[i%len(readers)]
		if admin {
			r.token = s.token
		}
		x := s.exchange(c, http.MethodGet, "/v1/orders", r.token)
		if path == nil {
			return worker{do: func() error {
				x.req.SetRequestURI("http://" + s.host + "/v1/orders/" + r.ids[rand.IntN(len(r.ids))].String()) //nolint:gosec // no secret
				return x.do()
			}}, nil
		}
		at, err := path(r)
		if err != nil {
			return worker{}, err
		}
		x.req.SetRequestURI("http://" + s.host + at)
		return worker{do: x.do}, nil
	})
}

func list(query string) func(reader) (string, error) {
	return func(reader) (string, error) { return "/v1/orders?limit=20&" + query, nil }
}

// from returns the page that begins at a time. Its cursor comes from a list that ends there, so no
// client has to read all pages before it.
func (s *server) from(r reader, at string) (string, error) {
	var page struct {
		NextCursor *string `json:"nextCursor"`
	}
	err := s.call(http.MethodGet, "/v1/orders?limit=1&createdTo="+url.QueryEscape(at), r.token, nil, &page)
	if err != nil {
		return "", err
	}
	if page.NextCursor == nil {
		return "", fmt.Errorf("there is no page before %s", at)
	}
	return "/v1/orders?limit=20&cursor=" + url.QueryEscape(*page.NextCursor), nil
}
