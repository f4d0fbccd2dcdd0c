package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/platform/fault"
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
		return s, await(ctx, s.databaseURL, logger(cfg))
	}

	private, err := privatePostgres(cfg)
	if err != nil {
		return nil, err
	}
	s.postgres, err = embedded.Start(ctx, private)
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

// openDatabase is openServices for commands other than serve: they use the private PostgreSQL of a server that
// is running with this DATA_DIR, and start it only if none is.
func openDatabase(ctx context.Context, cfg *config.Config) (*services, error) {
	if cfg.DatabaseURL != "" {
		return openServices(ctx, cfg)
	}
	url, err := attach(ctx, cfg)
	if errors.Is(err, embedded.ErrNotRunning) {
		return openServices(ctx, cfg)
	}
	return &services{databaseURL: url}, err
}

// attach returns the URL of the private PostgreSQL of a running server.
func attach(ctx context.Context, cfg *config.Config) (string, error) {
	private, err := privatePostgres(cfg)
	if err != nil {
		return "", err
	}
	url, err := embedded.Attach(ctx, private)
	if path, ok := errors.AsType[*fs.PathError](err); ok { // which it names, and DATA_DIR is a part of it
		return "", fmt.Errorf("DATA_DIR: %s: %s", path.Op, fault.Reason(err))
	}
	return url, err
}

func privatePostgres(cfg *config.Config) (embedded.Options, error) {
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return embedded.Options{}, fmt.Errorf("DATA_DIR: %w", err)
	}
	return embedded.Options{Dir: filepath.Join(dir, "postgres"), Database: "orderflow"}, nil
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

// keptPassword returns the administrator's generated password. It is generated once and stored
// in the data directory, so that it can be shown again.
func keptPassword(dir string, generate func() string) (string, error) {
	password, err := keptSecret(dir, "admin-password", generate)
	if err != nil {
		return "", fmt.Errorf("keep the administrator's password: %w", err)
	}
	return password, nil
}
