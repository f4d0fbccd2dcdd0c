package webhooks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// attempt is a delivery that this worker has claimed, with its endpoint.
type attempt struct {
	delivery
	claim          uuid.UUID
	attempts       int
	key            *uuid.UUID // the API key of the endpoint, if it has one
	url            string
	secrets        []signature.Secret
	enabled, alive bool // the endpoint
}

// attempt claims a delivery, checks that its owner may still see the order, and sends it.
func (m *Module) attempt(ctx context.Context, job *river.Job[DeliverArgs]) error {
	a, err := m.claim(ctx, job.Args.DeliveryID)
	if err != nil {
		return err
	}
	if !a.alive || !a.enabled {
		return m.drop(ctx, job, a, held)
	}
	roles, err := m.roles(ctx, m.pool, []uuid.UUID{a.owner})
	if err != nil {
		return err
	}
	if a.key != nil {
		keys, err := m.keysOf(ctx, m.pool, []uuid.UUID{*a.key})
		if err != nil {
			return err
		}
		if !keyIsValid(keys, *a.key) || roles[a.owner] == "" {
			return m.dropWithKey(ctx, job, a)
		}
	}
	if !maySee(a.owner, roles[a.owner], a.user) {
		return m.drop(ctx, job, a, withheld)
	}

	e, err := m.events.Find(ctx, a.order, a.version)
	if errors.Is(err, events.ErrNotFound) { // the log no longer has the event; the endpoint is not to blame
		return m.drop(ctx, job, a, failed)
	}
	if err != nil {
		return err
	}
	list := []events.Event{e}
	if m.redact != nil {
		if err := m.redact(ctx, list); err != nil {
			return err
		}
	}
	body, err := canonical.Marshal(messageOf(list[0], a.number))
	if err != nil {
		return err
	}
	o := m.sender.post(ctx, request{url: a.url, id: messageID(a.id), secrets: a.secrets, body: body})
	if queue.Stopping(ctx) {
		return errors.Join(ctx.Err(), m.release(ctx, a))
	}
	return m.settle(ctx, job, a, o)
}

// dropWithKey holds a delivery of an endpoint whose API key is no longer valid and disables the
// endpoint. If the endpoint has got another credential meanwhile, the delivery is attempted again.
func (m *Module) dropWithKey(ctx context.Context, job *river.Job[DeliverArgs], a *attempt) error {
	ended, err := m.endOfKey(ctx, a.webhook)
	if err != nil {
		return err
	}
	if !ended {
		if err := m.release(ctx, a); err != nil {
			return err
		}
		return river.JobSnooze(0)
	}
	return m.drop(ctx, job, a, held)
}

// Message is the body of a delivery: the event as on all transports, and the number of the
// delivery.
type Message struct {
	events.Message
	DeliveryNumber int64 `json:"deliverynumber" doc:"Numbers the deliveries of an endpoint without gaps; a resent delivery keeps its number"`
}

func messageOf(e events.Event, number int64) Message { return Message{e.Message(), number} }

// messageID is the same for all attempts of a delivery. It has no dots, because dots
// separate the parts of the signed content.
func messageID(id uuid.UUID) string { return "msg_" + strings.ReplaceAll(id.String(), "-", "") }

// claim gives this worker a lease of a delivery. If the delivery cannot be claimed, it returns
// errSettled or a snooze until the next possible time.
func (m *Module) claim(ctx context.Context, id uuid.UUID) (*attempt, error) {
	a := &attempt{delivery: delivery{id: id}, claim: uuid.New()}
	var (
		secret, previous []byte
		earlier          [][]byte
		until            *time.Time
	)
	err := m.pool.QueryRow(ctx, `
		update webhook_deliveries d set claim = $2, claimed_until = now() + $3::interval
		from webhooks w
		where d.id = $1 and d.status = 'pending' and d.due_at <= now() + interval '50 milliseconds'
		  and (d.claimed_until is null or d.claimed_until < now()) and w.id = d.webhook_id
		returning d.webhook_id, d.number, d.order_id, d.version, d.user_id, d.type, d.tries,
			w.owner_id, w.url, w.secret, w.previous_secret, w.previous_until, w.ordering = 'order',
			w.enabled, w.deleted_at is null, w.failing_since is not null, w.key_id,
			array(`+earlierSecrets+`)`, id, a.claim, m.policy.claim).
		Scan(&a.webhook, &a.number, &a.order, &a.version, &a.user, &a.kind, &a.attempts,
			&a.owner, &a.url, &secret, &previous, &until, &a.ordered, &a.enabled, &a.alive, &a.ailing, &a.key, &earlier)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, m.notNow(ctx, id)
	}
	if err != nil {
		return nil, fmt.Errorf("claim delivery %s: %w", id, err)
	}
	a.secrets = secretsOf(secret, previous, until, earlier)
	return a, nil
}

func secretsOf(secret, previous []byte, until *time.Time, earlier [][]byte) []signature.Secret {
	list := []signature.Secret{secret}
	if until != nil && time.Now().Before(*until) {
		list = append(list, previous)
	}
	for _, s := range earlier {
		list = append(list, s)
	}
	return list
}

// errSettled means that the delivery needs no further attempt; the job is complete.
var errSettled = errors.New("the delivery is not pending")

// notNow returns why a delivery could not be claimed: it is not due, another worker has
// claimed it, or it is settled.
func (m *Module) notNow(ctx context.Context, id uuid.UUID) error {
	var wait time.Duration
	err := m.pool.QueryRow(ctx, `
		select greatest(due_at, claimed_until, now() + interval '10 milliseconds') - now()
		from webhook_deliveries where id = $1 and status = 'pending'`, id).Scan(&wait)
	if errors.Is(err, pgx.ErrNoRows) {
		return errSettled
	}
	if err != nil {
		return fmt.Errorf("look at delivery %s: %w", id, err)
	}
	return river.JobSnooze(wait)
}

// release gives up the claim, so that another worker can attempt the delivery.
func (m *Module) release(ctx context.Context, a *attempt) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, err := m.pool.Exec(ctx, `update webhook_deliveries set claim = null, claimed_until = null where id = $1 and claim = $2`, a.id, a.claim)
	return err
}
