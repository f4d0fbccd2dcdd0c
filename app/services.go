package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// services are the database and Redis that this process uses: those that are
// configured, or private ones that live and die with it (SPEC F1).
type services struct {
	databaseURL, redisURL string
	postgres              *embedded.Postgres // nil when configured
	redis                 *embedded.Redis
}

func openServices(ctx context.Context, cfg *config.Config) (*services, error) {
	s := &services{databaseURL: cfg.DatabaseURL.Reveal(), redisURL: cfg.RedisURL.Reveal()}
	if s.databaseURL != "" {
		return s, await(ctx, s.databaseURL)
	}

	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("DATA_DIR: %w", err)
	}
	s.postgres, err = embedded.Start(ctx, embedded.Options{Dir: filepath.Join(dir, "postgres"), Database: "orderflow"})
	if taken, ok := errors.AsType[*embedded.InUseError](err); ok {
		return nil, fmt.Errorf("another orderflow (process %d) is using this DATA_DIR; stop it, or give this one its own DATA_DIR and PORT", taken.PID)
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok { // which it names, and DATA_DIR is a part of it
		return nil, fmt.Errorf("DATA_DIR: %s: %s", path.Op, fault.Reason(err))
	}
	if err != nil {
		return nil, err
	}
	s.databaseURL = s.postgres.URL()
	return s, nil
}

// openRedis is apart, since only serving needs it.
func (s *services) openRedis() (err error) {
	if s.redisURL != "" {
		return nil
	}
	if s.redis, err = embedded.StartRedis(); err != nil {
		return fmt.Errorf("start the in-process redis: %w", err)
	}
	s.redisURL = s.redis.URL()
	return nil
}

func (s *services) close() {
	if s.redis != nil {
		s.redis.Close()
	}
	if s.postgres != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		if err := s.postgres.Stop(ctx); err != nil {
			slog.Error("the private database did not stop", "error", err)
		}
	}
}

// await waits up to a minute for a configured database, because containers start in any order.
func await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	for {
		try, stop := context.WithTimeout(ctx, 3*time.Second)
		conn, err := pgx.Connect(try, url)
		stop()
		if err == nil {
			return conn.Close(context.WithoutCancel(ctx))
		}
		if postgres.Misconfigured(err) {
			return fmt.Errorf("DATABASE_URL: %w", postgres.RedactURL(err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("DATABASE_URL: no connection within a minute: %w", postgres.RedactURL(err))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// keptPassword returns the administrator's generated password. It is generated once and stored
// in the data directory, so that it can be shown again.
func keptPassword(dir string, generate func() string) (string, error) {
	path := filepath.Join(dir, "admin-password")
	raw, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(raw)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the administrator's password: %w", err)
	}
	password := generate()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the administrator's password: %w", err)
	}
	return password, nil
}
