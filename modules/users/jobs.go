package users

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/internal/requestid"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/mail"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// Queue is the queue of messages, and Workers how many a node sends at once. A slow mail server
// occupies no slot of other jobs.
const (
	Queue   = "mail"
	Workers = 10
)

// mailWaits are the times between attempts, half a day in all.
var mailWaits = []time.Duration{
	2 * time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 5 * time.Hour,
}

var mailAttempts = len(mailWaits) + 1

// Workers registers the workers of this module's jobs.
func (m *Module) Workers(w *river.Workers) { river.AddWorker(w, &mailWorker{m: m}) }

// MailArgs are the arguments of a job that sends a message. They contain no address, token or text: the
// worker reads the address, and creates the token when it sends the message.
type MailArgs struct {
	Message string            `json:"message" river:"unique"`
	ID      uuid.UUID         `json:"id" river:"unique"` // of the account, or of the invitation
	At      time.Time         `json:"at"`
	Facts   map[string]string `json:"facts,omitempty"`
	// RequestID is the request of a reset by anyone, whose audit entry the worker writes.
	RequestID string `json:"requestId,omitempty"`
}

// Kind is stored with every job and must never change.
func (MailArgs) Kind() string { return "users_mail" }

type mailWorker struct {
	river.WorkerDefaults[MailArgs]
	m *Module
}

// Timeout is longer than that of other jobs, because mail servers may be slow on purpose, and below the
// time after which a job counts as lost.
func (*mailWorker) Timeout(*river.Job[MailArgs]) time.Duration {
	return mail.SendTimeout + 5*time.Second
}

// NextRetry waits longer than other jobs do: a mail server may be away for hours.
func (*mailWorker) NextRetry(job *river.Job[MailArgs]) time.Time {
	return time.Now().Add(mailWaits[min(max(job.Attempt, 1), len(mailWaits))-1])
}

// Work is safe to run twice: the recipient then gets the message twice, and only the token of the last
// one is valid.
func (w *mailWorker) Work(ctx context.Context, job *river.Job[MailArgs]) error {
	err := w.m.deliver(ctx, job)
	if err == nil {
		return nil
	}
	if queue.Stopping(ctx) {
		return river.JobSnooze(0) // another node continues, and no attempt is counted (SPEC D5)
	}
	err = queue.SnoozeIfUnavailable(err)
	_, isSnooze := errors.AsType[*river.JobSnoozeError](err)
	switch {
	case isSnooze:
	case queue.IsPermanent(err):
		w.m.log.WarnContext(ctx, "a message was refused", "message", job.Args.Message, "id", job.Args.ID, "error", err)
		return river.JobCancel(err)
	case job.Attempt >= job.MaxAttempts:
		w.m.log.ErrorContext(ctx, "a message was not sent and is not tried again", "message", job.Args.Message, "id", job.Args.ID, "attempts", job.Attempt, "error", err)
	}
	return err
}

func (m *Module) deliver(ctx context.Context, job *river.Job[MailArgs]) error {
	if m.mailer == nil {
		return errors.New("this node has no mailer; configure all nodes alike")
	}
	var message mail.Message
	var isDue bool
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) (err error) {
		message, isDue, err = m.compose(ctx, tx, job.Args, job.Attempt == 1)
		return err
	})
	if err != nil || !isDue {
		return err
	}
	return withoutAddress(m.mailer.Send(ctx, message), message.To)
}

// withoutAddress replaces an error that contains the address. Mailers should not return one, but those
// of other programs might, and errors are stored with the job.
func withoutAddress(err error, address string) error {
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(address)) {
		return err
	}
	hidden := errors.New("the mailer failed with an error that contains the address of the recipient")
	if queue.IsPermanent(err) {
		return queue.Permanent(hidden)
	}
	return hidden
}

// compose writes a message and stores the hash of its token, if it has one. A message that has lost its
// reason, such as one to a deleted account, is not due.
func (m *Module) compose(ctx context.Context, tx pgx.Tx, args MailArgs, isFirst bool) (message mail.Message, isDue bool, err error) {
	if args.Message == mailInvitation {
		return m.composeInvitation(ctx, tx, args)
	}
	u, err := one(ctx, tx, args.ID)
	if fault.Is(err, "not-found") {
		return mail.Message{}, false, nil
	}
	if err != nil {
		return mail.Message{}, false, err
	}
	life, isRequest := tokenLives[args.Message]
	if !isRequest {
		// Until it is verified, it may be the address of somebody else.
		isDue = !m.verifyEmail || u.EmailVerifiedAt != nil
		message, err = m.notice(u.Email, args)
		return message, isDue, err
	}
	if args.Message == mailReset && args.RequestID != "" && isFirst {
		if err := recordResetRequest(asRequest(ctx, args), tx, u.ID); err != nil {
			return mail.Message{}, false, err
		}
	}
	if !u.Active || args.Message == mailVerification && u.EmailVerifiedAt != nil {
		return mail.Message{}, false, nil
	}
	token, err := issueToken(ctx, tx, u.ID, args.Message, life)
	return m.request(u.Email, args, token), true, err
}

// asRequest returns a context in which audit entries have the request and network of the job.
func asRequest(ctx context.Context, args MailArgs) context.Context {
	if network, err := netip.ParsePrefix(args.Facts[factNetwork]); err == nil {
		ctx = clientaddr.With(ctx, network.Addr())
	}
	return requestid.With(ctx, args.RequestID)
}

func recordResetRequest(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	return audit.Record(ctx, tx, audit.Entry{Action: resetRequested, Subject: id.String(), User: id})
}
