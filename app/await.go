package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const (
	databaseWait = time.Minute      // for a configured database
	tellEvery    = 10 * time.Second // a line in the log while a process waits
)

// await waits up to a minute for a configured database, because containers start in any order, and
// logs why it waits. It returns at once if the reason does not go away by itself, such as a wrong
// password, a certificate that is not trusted, or another encoding than UTF-8.
func await(ctx context.Context, url string, log *slog.Logger) error {
	stopped := ctx
	ctx, cancel := context.WithTimeout(ctx, databaseWait)
	defer cancel()

	wait := waiting{log: log}
	for {
		err := tryDatabase(ctx, url)
		if err == nil {
			wait.over(ctx)
			return nil
		}
		if postgres.Misconfigured(err) {
			return fmt.Errorf("DATABASE_URL: %w", postgres.RedactURL(err))
		}
		wait.tell(ctx, postgres.RedactURL(err))
		select {
		case <-stopped.Done():
			return stopped.Err()
		case <-ctx.Done():
			return fmt.Errorf("DATABASE_URL: no connection within a minute: %w", postgres.RedactURL(err))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func tryDatabase(ctx context.Context, url string) error {
	try, stop := context.WithTimeout(ctx, 3*time.Second)
	defer stop()
	conn, err := pgx.Connect(try, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return postgres.RequireUTF8(ctx, conn.PgConn())
}

// waiting logs that a process waits for its database: when it begins, and every ten seconds.
type waiting struct {
	log         *slog.Logger
	since, told time.Time
}

func (w *waiting) tell(ctx context.Context, because error) {
	now := time.Now()
	if w.since.IsZero() {
		w.since = now
	} else if now.Sub(w.told) < tellEvery {
		return
	}
	w.told = now
	w.log.WarnContext(ctx, "waiting for the database", "because", because, "since", w.since.UTC().Format(time.RFC3339), "waited", now.Sub(w.since).Round(time.Second).String())
}

func (w *waiting) over(ctx context.Context) {
	if !w.since.IsZero() {
		w.log.InfoContext(ctx, "the database accepts connections", "waited", time.Since(w.since).Round(time.Millisecond).String())
	}
}
