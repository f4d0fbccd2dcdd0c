package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/webhookreplay"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// replayRange selects the deliveries to replay: from and to are numbers, since and until are
// times; zero values do not limit the range.
type replayRange struct {
	from, to     int64
	since, until time.Time
	types        []string
	statuses     []string
	rate         int64
}

// replay starts to send a range of an endpoint's deliveries again, with the same numbers and
// webhook-ids. An endpoint has at most one running replay, so that its rate is a limit.
func (m *Module) replay(ctx context.Context, c identity.Caller, id uuid.UUID, s replayRange, key idempotency.Key[*ent.WebhookReplay]) (idempotency.Result[*ent.WebhookReplay], error) {
	key.Still = stillOwned[*ent.WebhookReplay](m, c, id)
	return idempotency.Do(ctx, m.running, m.pool, key, func(tx pgx.Tx) (*ent.WebhookReplay, error) {
		hook, err := m.lock(ctx, tx, c.UserID, id)
		if err != nil {
			return nil, err
		}
		if !hook.Enabled {
			return nil, isDisabled()
		}
		running, err := ent.On(tx).WebhookReplay.Query().Where(webhookreplay.WebhookID(id), webhookreplay.Status("running")).Exist(ctx)
		if err != nil {
			return nil, err
		}
		if running {
			return nil, fault.New(fault.KindConflict, "replay-running", "A replay of this webhook is already running; cancel it or wait until it ends.")
		}
		row, err := m.insertReplay(ctx, tx, c, hook, s)
		if err != nil {
			return nil, fmt.Errorf("begin a replay of webhook %s: %w", id, err)
		}
		return row, recordEndpoint(ctx, tx, auditReplayed, hook,
			audit.Now("replayId", row.ID), audit.Now("fromNumber", row.FromNumber), audit.Now("toNumber", row.ToNumber))
	})
}

func (m *Module) insertReplay(ctx context.Context, tx pgx.Tx, c identity.Caller, hook *ent.Webhook, s replayRange) (*ent.WebhookReplay, error) {
	from, to, err := bounds(ctx, tx, hook, s)
	if err != nil {
		return nil, err
	}
	id, at := uuid.Must(uuid.NewV7()), postgres.Now()
	made, _ := keyOf(c)
	row, err := ent.On(tx).WebhookReplay.Create().SetID(id).SetNillableKeyID(made).SetWebhookID(hook.ID).SetFromNumber(from).SetToNumber(to).
		SetTypes(s.types).SetStatuses(s.statuses).SetRate(s.rate).SetStatus("running").SetPosition(from - 1).SetDueAt(at).SetCreatedAt(at).Save(ctx)
	if err != nil {
		return nil, err
	}
	_, err = m.queue.InsertTx(ctx, tx, ReplayArgs{ReplayID: id}, &river.InsertOpts{Queue: Queue})
	return row, err
}

// bounds returns the first and last number of the existing deliveries in a range.
func bounds(ctx context.Context, tx pgx.Tx, hook *ent.Webhook, s replayRange) (from, to int64, err error) {
	err = tx.QueryRow(ctx, `select coalesce(min(number), 1) from webhook_deliveries where webhook_id = $1`, hook.ID).Scan(&from)
	if err != nil {
		return 0, 0, err
	}
	to = hook.LastNumber
	first, last := from, to
	if !s.since.IsZero() {
		if from, err = firstAt(ctx, tx, hook.ID, first, last, s.since); err != nil {
			return 0, 0, err
		}
	}
	if !s.until.IsZero() {
		after, err := firstAt(ctx, tx, hook.ID, first, last, s.until.Add(time.Microsecond))
		if err != nil {
			return 0, 0, err
		}
		to = after - 1
	}
	if s.from > 0 {
		from = max(from, s.from)
	}
	if s.to > 0 {
		to = min(to, s.to)
	}
	return from, to, nil
}

// firstAt returns the first number that was created at a time or later, or last+1. Numbers
// have no gaps and increase with time, so a binary search needs no index of times.
func firstAt(ctx context.Context, tx pgx.Tx, hook uuid.UUID, first, last int64, t time.Time) (int64, error) {
	for first <= last {
		middle := first + (last-first)/2
		var at time.Time
		err := tx.QueryRow(ctx, `select created_at from webhook_deliveries where webhook_id = $1 and number >= $2 order by number limit 1`, hook, middle).Scan(&at)
		if err != nil {
			return 0, fmt.Errorf("find delivery %d of webhook %s: %w", middle, hook, err)
		}
		if at.Before(t) {
			first = middle + 1
		} else {
			last = middle - 1
		}
	}
	return first, nil
}

// sendSlice sends the next slice and returns the time until the one after it is due, or zero
// if there is none.
func (m *Module) sendSlice(ctx context.Context, id uuid.UUID) (wait time.Duration, err error) {
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		wait = 0
		r, hook, err := m.lockReplay(ctx, tx, id)
		if err != nil || r == nil || r.Status != "running" {
			return err
		}
		if until := time.Until(*r.DueAt); until > 0 {
			wait = until
			return nil
		}
		over, err := m.keyIsOver(ctx, tx, r.KeyID)
		if err != nil {
			return err
		}
		if !hook.Enabled || hook.DeletedAt != nil || over {
			return finish(ctx, tx, hook.ID, "stopped")
		}
		numbers, position, err := nextSlice(ctx, tx, r, m.policy.slice)
		if err != nil {
			return err
		}
		n, err := m.again(ctx, tx, hook, numbers)
		if err != nil {
			return err
		}
		due := postgres.Now().Add(m.policy.slice)
		u := ent.On(tx).WebhookReplay.UpdateOneID(id).SetPosition(position).AddSent(int64(n)).SetDueAt(due)
		if wait = m.policy.slice; position >= r.ToNumber {
			wait = 0
			u.SetStatus("done").ClearDueAt().SetFinishedAt(postgres.Now())
		}
		return u.Exec(ctx)
	})
	return wait, err
}

// lockReplay locks the endpoint and then its replay.
func (m *Module) lockReplay(ctx context.Context, tx pgx.Tx, id uuid.UUID) (*ent.WebhookReplay, *ent.Webhook, error) {
	var hook uuid.UUID
	err := tx.QueryRow(ctx, `select w.id from webhook_replays r join webhooks w on w.id = r.webhook_id where r.id = $1 for no key update of w`, id).Scan(&hook)
	if err == nil {
		_, err = tx.Exec(ctx, `select from webhook_replays where id = $1 for no key update`, id)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return &ent.WebhookReplay{}, nil, nil // deleted with its endpoint
	}
	if err != nil {
		return nil, nil, err
	}
	r, err := ent.On(tx).WebhookReplay.Get(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	w, err := ent.On(tx).Webhook.Get(ctx, hook)
	return r, w, err
}

// nextSlice returns the numbers of the next slice and the position after it. It examines one
// window at most, even if few deliveries match.
func nextSlice(ctx context.Context, tx pgx.Tx, r *ent.WebhookReplay, every time.Duration) (numbers []int64, position int64, err error) {
	limit := max(1, r.Rate*int64(every)/int64(time.Second))
	end := min(r.Position+window, r.ToNumber)
	rows, err := tx.Query(ctx, `
		select number from webhook_deliveries
		where webhook_id = $1 and number > $2 and number <= $3 and status not in ('pending', 'waiting')
		  and (cardinality($4::text[]) = 0 or type = any($4)) and (cardinality($5::text[]) = 0 or status = any($5))
		order by number limit $6`, r.WebhookID, r.Position, end, r.Types, r.Statuses, limit)
	if err != nil {
		return nil, 0, err
	}
	numbers, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, 0, err
	}
	if int64(len(numbers)) == limit {
		end = numbers[limit-1]
	}
	return numbers, end, nil
}

// finish ends the running replay of an endpoint, if there is one.
func finish(ctx context.Context, tx pgx.Tx, hook uuid.UUID, how string) error {
	_, err := ent.On(tx).WebhookReplay.Update().Where(webhookreplay.WebhookID(hook), webhookreplay.Status("running")).
		SetStatus(how).ClearDueAt().SetFinishedAt(postgres.Now()).Save(ctx)
	if err != nil {
		return fmt.Errorf("end the replay of webhook %s: %w", hook, err)
	}
	return nil
}

func (m *Module) replayOf(ctx context.Context, q postgres.Querier, hook, id uuid.UUID) (*ent.WebhookReplay, error) {
	row, err := ent.On(q).WebhookReplay.Query().Where(webhookreplay.ID(id), webhookreplay.WebhookID(hook)).Only(ctx)
	if ent.IsNotFound(err) {
		return nil, fault.NotFound("replay")
	}
	if err != nil {
		return nil, fmt.Errorf("read replay %s: %w", id, err)
	}
	return row, nil
}

// replays of an endpoint, newest first, from behind the given id on.
func (m *Module) replays(ctx context.Context, hook, before uuid.UUID, limit int) ([]*ent.WebhookReplay, error) {
	query := ent.On(m.pool).WebhookReplay.Query().Where(webhookreplay.WebhookID(hook))
	if before != uuid.Nil {
		query.Where(webhookreplay.IDLT(before))
	}
	rows, err := query.Order(webhookreplay.ByID(sql.OrderDesc())).Limit(limit).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the replays of webhook %s: %w", hook, err)
	}
	return rows, nil
}

// cancel ends a replay; what it has sent by then stays under way. One that is over
// stays as it ended.
func (m *Module) cancel(ctx context.Context, c identity.Caller, hook, id uuid.UUID) (row *ent.WebhookReplay, err error) {
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		endpoint, err := m.lock(ctx, tx, c.UserID, hook)
		if err != nil {
			return err
		}
		if row, err = m.replayOf(ctx, tx, hook, id); err != nil || row.Status != "running" {
			return err
		}
		if err := finish(ctx, tx, hook, "cancelled"); err != nil {
			return err
		}
		if err := recordEndpoint(ctx, tx, auditStopped, endpoint, audit.Now("replayId", id)); err != nil {
			return err
		}
		row, err = m.replayOf(ctx, tx, hook, id)
		return err
	})
	return row, err
}
