package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Holder is the oldest transaction of the cluster that writes. No event of a later transaction is
// read before it ends (SPEC E3), even if it is in another database.
type Holder struct {
	Database    string // empty if this role may not see it
	PID         int    // of the server process; zero for a prepared transaction
	Prepared    string // the identifier of a prepared transaction
	Application string
	State       string    // such as "active" or "idle in transaction"
	Since       time.Time // when it began; zero if this role may not see it
}

// String returns a description for operators. It contains no query.
func (h *Holder) String() string {
	var b strings.Builder
	if h.Prepared != "" {
		fmt.Fprintf(&b, "the prepared transaction %q", h.Prepared)
	} else {
		fmt.Fprintf(&b, "process %d", h.PID)
	}
	if h.Application != "" {
		fmt.Fprintf(&b, " (%s)", h.Application)
	}
	if h.Database != "" {
		fmt.Fprintf(&b, " in database %s", h.Database)
	}
	if h.State != "" {
		fmt.Fprintf(&b, ", %s", h.State)
	}
	if !h.Since.IsZero() {
		fmt.Fprintf(&b, ", since %s", h.Since.UTC().Format(time.RFC3339))
	}
	return b.String()
}

// Transaction ids are compared without their epoch, which pg_locks does not show. pg_locks shows the
// process of every transaction to every role; pg_stat_activity hides the details of other roles'
// processes, unless the role is a member of pg_read_all_stats.
const holderQuery = `
	with h as (
		select pg_snapshot_xmin(s)::text::bigint as xmin, pg_snapshot_xmax(s)::text::bigint as xmax from pg_current_snapshot() s
	)
	select coalesce(a.datname, p.database, ''), coalesce(l.pid, 0), coalesce(p.gid, ''), coalesce(a.application_name, ''), coalesce(a.state, ''),
		coalesce(a.xact_start, p.prepared, '0001-01-01 00:00Z')
	from h
	join pg_locks l on l.locktype = 'transactionid' and l.granted and l.mode = 'ExclusiveLock' and l.transactionid::text::bigint = h.xmin % 4294967296
	left join pg_stat_activity a on a.pid = l.pid
	left join pg_prepared_xacts p on l.pid is null and p.transaction::text::bigint = h.xmin % 4294967296
	where h.xmin < h.xmax
	limit 1`

// OldestWriter returns the oldest transaction of the cluster that writes, or nil if there is none.
func OldestWriter(ctx context.Context, q Querier) (*Holder, error) {
	var h Holder
	err := q.QueryRow(ctx, holderQuery).Scan(&h.Database, &h.PID, &h.Prepared, &h.Application, &h.State, &h.Since)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // no writer is a regular result
	}
	if err != nil {
		return nil, fmt.Errorf("find the oldest writing transaction: %w", err)
	}
	return &h, nil
}

// OldestSnapshot returns the age of the oldest transaction in this database that keeps vacuum from
// removing rows, as far as this role may see it; zero if there is none.
func OldestSnapshot(ctx context.Context, q Querier) (time.Duration, error) {
	var seconds float64
	err := q.QueryRow(ctx, `
		select coalesce(greatest(extract(epoch from clock_timestamp() - min(xact_start)), 0), 0)::double precision from pg_stat_activity
		where (backend_xmin is not null or backend_xid is not null) and pid <> pg_backend_pid()
		  and (datname = current_database() or backend_type = 'walsender')`).Scan(&seconds)
	if err != nil {
		return 0, fmt.Errorf("find the oldest snapshot: %w", err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
