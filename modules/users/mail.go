package users

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// The messages that are answers to requests. Jobs and tokens keep these names, so they never change.
// Notices have names of their own, see notices.
const (
	mailVerification = "verification"
	mailReset        = "password-reset"
	mailInvitation   = "invitation"
)

// The facts that messages may contain. None of them is written by a user.
const (
	factNetwork = "network" // the /24 or /64 of the client
	factDevice  = "device"  // such as "Firefox on Windows"
	factKey     = "key"     // the id of an API key
	factBy      = "by"      // byAdmin if an administrator started it
)

const byAdmin = "administrator"

// messageLimit is how many messages of a kind are sent to one address: three at once and then one in
// half an hour, so that no hour has more than five.
var messageLimit = redis.Limit{Count: 3, Period: 90 * time.Minute}

// messageLimits bounds the messages that callers can have sent to others.
type messageLimits struct {
	limiter *redis.Limiter
	network redis.Limit // requests to reset a password from one network address
}

// allow counts a message to the folded address, whether or not an account has it, and calls do, which
// has it sent. The counters contain a hash of the address.
func (l messageLimits) allow(ctx context.Context, kind, key string, do func() error) error {
	sum := sha256.Sum256([]byte(key))
	return l.count(ctx, kind+":"+hex.EncodeToString(sum[:]), messageLimit, do)
}

// allowNetwork counts a request from the network address of ctx, and calls do.
func (l messageLimits) allowNetwork(ctx context.Context, kind string, do func() error) error {
	return l.count(ctx, kind+":network:"+clientaddr.Network(clientaddr.From(ctx)).String(), l.network, do)
}

// count counts one call of do under a key and returns its error, or a RateLimited fault without calling
// it. A call that failed for an internal reason, such as an unavailable database, does not count, because
// the response asks its caller to repeat it (SPEC F20).
func (l messageLimits) count(ctx context.Context, key string, limit redis.Limit, do func() error) error {
	if l.limiter == nil || limit.Disabled() {
		return do()
	}
	call := redis.Call{Key: "mail:" + key, Limit: limit}
	d := l.limiter.AllowAll(ctx, call)[0]
	if !d.Allowed {
		return fault.New(fault.KindRateLimited, "too-many-messages", "Too many messages were requested; try again later.").WithRetryAfter(d.RetryAfter)
	}
	err := do()
	if failedInternally(err) {
		l.limiter.Cancel(context.WithoutCancel(ctx), d.Local, call)
	}
	return err
}

// failedInternally reports whether an error is nothing that the caller has done.
func failedInternally(err error) bool {
	f, told := fault.As(err)
	return err != nil && (!told || f.Kind == fault.KindUnavailable)
}

// requireMailer refuses what would need a message on a server that sends none.
func (m *Module) requireMailer() error {
	if m.mailer == nil {
		return fault.New(fault.KindConflict, "mail-not-configured", "This server sends no e-mail.")
	}
	return nil
}

// enqueue inserts the job of a message in the transaction of what it is about.
func (m *Module) enqueue(ctx context.Context, tx pgx.Tx, args MailArgs) error {
	args.At = time.Now()
	if _, err := m.queue.InsertTx(ctx, tx, args, mailOptions(args.Message)); err != nil {
		return fmt.Errorf("enqueue the message %s for %s: %w", args.Message, args.ID, err)
	}
	return nil
}

// keyNoticePeriod is the time in which an account gets one notice of each kind about API keys, which
// can be rotated hundreds of times in a second.
const keyNoticePeriod = 5 * time.Minute

func mailOptions(message string) *river.InsertOpts {
	o := &river.InsertOpts{Queue: Queue, MaxAttempts: mailAttempts}
	if message == noticeKeyCreated || message == noticeKeyRotated {
		o.UniqueOpts = river.UniqueOpts{ByArgs: true, ByPeriod: keyNoticePeriod}
	}
	return o
}

// originOf returns the network of the request, for the recipient to recognise.
func originOf(ctx context.Context) map[string]string {
	network := audit.Network(clientaddr.From(ctx))
	if !network.IsValid() {
		return nil
	}
	return map[string]string{factNetwork: network.String()}
}

// forget deletes what only serves messages to an account that is deleted.
func forget(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	b := &pgx.Batch{}
	b.Queue(`delete from account_tokens where user_id = $1`, id)
	b.Queue(`delete from account_devices where user_id = $1`, id)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("forget the tokens and devices of %s: %w", id, err)
	}
	return nil
}
