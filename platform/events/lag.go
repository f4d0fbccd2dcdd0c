package events

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// lag is the age of the oldest event that a reader of the log has not passed on. The zero value is a
// reader that has not read yet.
type lag struct {
	next atomic.Int64 // the time of that event, Unix nanoseconds; 0: there is none
	read atomic.Int64 // when the log was last read without an error
}

// readLate is the time without a successful read after which a reader counts as behind: it polls every
// second.
const readLate = 3 * pollInterval

// passed records what is left after a page.
func (l *lag) passed(p Page) {
	var next int64
	switch {
	case p.More: // the next event is not older than the last one of this page
		next = p.Events[len(p.Events)-1].At.UnixNano()
	case p.Waiting:
		next = p.WaitingSince.UnixNano()
	}
	l.next.Store(next)
	l.read.Store(time.Now().UnixNano())
}

// age returns the age of the oldest event that was not passed on, or, while the log cannot be read,
// how long there may have been one.
func (l *lag) age() time.Duration {
	now := time.Now()
	var age time.Duration
	if next := l.next.Load(); next != 0 {
		age = now.Sub(time.Unix(0, next))
	}
	if read := l.read.Load(); read != 0 {
		if silent := now.Sub(time.Unix(0, read)); silent > readLate {
			age = max(age, silent)
		}
	}
	return max(age, 0)
}

// ConsumerLag is how far a consumer is behind.
type ConsumerLag struct {
	Consumer string
	// Age is the age of the oldest event that it has not handled, whether or not a transaction holds
	// the event back; zero if it has handled all. It includes the parts that have positions of their
	// own, see Fork.
	Age time.Duration
}

// Lags returns the lag of each consumer. It costs one look into an index for each position.
func Lags(ctx context.Context, q postgres.Querier) ([]ConsumerLag, error) {
	rows, err := q.Query(ctx, `
		select r.name, coalesce(greatest(extract(epoch from clock_timestamp() - e.at), 0), 0)::double precision
		from event_readers r
		left join lateral (select e.at from events e where (e.xid, e.seq) > (r.xid, r.seq) order by e.xid, e.seq limit 1) e on true
		order by r.name`)
	if err != nil {
		return nil, fmt.Errorf("read the lags of consumers: %w", err)
	}
	var (
		list    []ConsumerLag
		name    string
		seconds float64
	)
	_, err = pgx.ForEachRow(rows, []any{&name, &seconds}, func() error {
		consumer, _, _ := strings.Cut(name, "/")
		age := time.Duration(seconds * float64(time.Second))
		if n := len(list); n > 0 && list[n-1].Consumer == consumer {
			list[n-1].Age = max(list[n-1].Age, age)
			return nil
		}
		list = append(list, ConsumerLag{consumer, age})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the lags of consumers: %w", err)
	}
	return list, nil
}
