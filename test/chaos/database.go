package main

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/testport"
)

// database is a private PostgreSQL with the default durability. It crashes and restarts at the
// same address.
type database struct {
	options embedded.Options
	mu      sync.Mutex
	server  *embedded.Postgres
	direct  *pgxpool.Pool // bypasses all faults, for inspection
}

func openDatabase(ctx context.Context, dir string) (*database, error) {
	port, err := testport.Reserve()
	if err != nil {
		return nil, err
	}
	d := &database{options: embedded.Options{Dir: filepath.Join(dir, "postgres"), Port: port.String()}}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	d.direct, err = pgxpool.New(ctx, d.server.URL()+"&pool_max_conns=4")
	return d, err
}

func (d *database) start(ctx context.Context) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()

	d.server, err = embedded.Start(ctx, d.options)
	return err
}

// crash stops it immediately.
func (d *database) crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.server.Crash()
}

// stop shuts it down without losing data.
func (d *database) stop(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.server.Stop(ctx)
}

// copied stops the server, makes a cold copy, and starts the server again.
func (d *database) copied(ctx context.Context, name string) (dir string, err error) {
	dir = filepath.Join(filepath.Dir(d.options.Dir), name)
	if err := d.stop(ctx); err != nil {
		return dir, err
	}
	if err := embedded.Copy(ctx, d.options.Dir, dir); err != nil {
		return dir, err
	}
	return dir, d.start(ctx)
}

// replace starts a copy at the address of the stopped server.
func (d *database) replace(ctx context.Context, copied string) error {
	if err := embedded.Copy(ctx, copied, d.options.Dir); err != nil {
		return err
	}
	if err := embedded.Remove(ctx, copied); err != nil {
		return err
	}
	return d.start(ctx)
}

func (d *database) close() error {
	if d.direct != nil {
		d.direct.Close()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return d.server.Stop(ctx)
}

func (d *database) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return embedded.Remove(ctx, d.options.Dir)
}

// rows runs a query and calls scan for each row.
func (d *database) rows(ctx context.Context, query string, each func(scan func(...any) error) error) error {
	rows, err := d.direct.Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
