package postgres

import (
	"context"
	"fmt"
	"time"
)

// minSkew is a difference that can come from the measurement: it is taken for none. It is far below
// the interval at which jobs are polled.
const minSkew = 20 * time.Millisecond

// MeasureSkew compares the clock of the database with that of this process. It returns by how much the
// database is ahead, or negative if it is behind, and remembers it for Skew. Half of the round trip is the
// possible error; a measurement that took longer than a second is not remembered, and its result is
// the one before.
func (p *Pool) MeasureSkew(ctx context.Context) (time.Duration, error) {
	var there time.Time
	began := time.Now()
	if err := p.QueryRow(ctx, `select clock_timestamp()`).Scan(&there); err != nil {
		return 0, fmt.Errorf("read the clock of the database: %w", err)
	}
	roundTrip := time.Since(began)
	if roundTrip < time.Second {
		p.skew.Store(int64(there.Sub(began.Add(roundTrip / 2))))
	}
	return p.MeasuredSkew(), nil
}

// MeasuredSkew returns the last result of MeasureSkew, or zero before the first.
func (p *Pool) MeasuredSkew() time.Duration { return time.Duration(p.skew.Load()) }

// SetSkew sets the difference that Skew returns, for tests.
func (p *Pool) SetSkew(ahead time.Duration) { p.skew.Store(int64(ahead)) }

// Skew returns what must be added to a time of this process to get that of the database: negative
// while the database is behind, and zero for a difference below 20 ms. It is a little less than what
// was measured, so that a job which is due now is not in the future of the database.
func (p *Pool) Skew() time.Duration {
	skew := p.MeasuredSkew()
	if skew.Abs() < minSkew {
		return 0
	}
	return skew - minSkew
}

// ServerVersion returns the version of PostgreSQL, such as 15.19.
func ServerVersion(ctx context.Context, q Querier) (version string, err error) {
	err = q.QueryRow(ctx, `select split_part(current_setting('server_version'), ' ', 1)`).Scan(&version)
	if err != nil {
		return "", fmt.Errorf("read the version of the database: %w", err)
	}
	return version, nil
}
