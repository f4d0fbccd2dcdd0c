package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const (
	// window is the time whose attempts share an entry.
	window = time.Minute
	// singleAtMost bounds the entries of single attempts of one node in a window.
	singleAtMost = 300
	// networksAtMost bounds the entries of a node in a window that stand for several attempts.
	// Further networks share one entry.
	networksAtMost = 1000
	writeTimeout   = 2 * time.Second
)

// Attempts records failed and refused attempts of callers that may be anyone. The number of entries
// is bounded, whatever is sent: a node writes at most 300 single entries a minute and one entry for
// each action and network, of at most 1,000 networks, that counts the rest. A crash loses the counts
// of up to a minute. It is safe for concurrent use.
type Attempts struct {
	pool *postgres.Pool
	log  *slog.Logger

	mu     sync.Mutex
	began  time.Time // of the window
	single int
	counts map[kind]*tally
	key    []byte // of fingerprints, once it was read
}

// kind is what the attempts of one entry have in common.
type kind struct {
	action  string
	network netip.Prefix
}

type tally struct {
	entry Entry
	user  uuid.UUID // the account of all of them
	mixed bool      // they were made at different accounts
	n     int64
}

// NewAttempts returns an Attempts. Run writes what it counts.
func NewAttempts(pool *postgres.Pool, log *slog.Logger) *Attempts {
	return &Attempts{pool: pool, log: log, counts: map[kind]*tally{}}
}

// Record records an attempt at an account, or at unknown, the name of an account that does not
// exist. It does not stop when ctx ends, because a client could otherwise hide an attempt by closing
// the connection. An error means that the attempt was not recorded.
func (a *Attempts) Record(ctx context.Context, e Entry, unknown string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()

	if !a.mayWrite() {
		a.Count(ctx, e)
		return nil
	}
	// Also for an account that exists, so that the response takes the same time.
	fingerprint, err := a.fingerprint(ctx, unknown)
	if err != nil {
		return err
	}
	e.Subject = fingerprint
	if e.User != uuid.Nil {
		e.Subject = e.User.String()
	}
	return Record(ctx, a.pool, e)
}

// Count counts an attempt for the entry of its network and window. It does not access the database.
func (a *Attempts) Count(ctx context.Context, e Entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := kind{e.Action.Name, Network(clientaddr.From(ctx))}
	if _, counted := a.counts[k]; !counted && len(a.counts) >= networksAtMost {
		k.network = netip.Prefix{}
	}
	t := a.counts[k]
	if t == nil {
		t = &tally{entry: e, user: e.User}
		a.counts[k] = t
	}
	t.n++
	t.mixed = t.mixed || t.user != e.User
}

func (a *Attempts) mayWrite() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.began) > window {
		a.began, a.single = now, 0
	}
	a.single++
	return a.single <= singleAtMost
}

// Run writes the counts every minute until ctx ends, and then the rest. It returns nil.
func (a *Attempts) Run(ctx context.Context) error {
	err := periodic.Run(ctx, periodic.Task{Name: "record refused attempts", Interval: window, Log: a.log, Run: a.Flush})
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if err := a.Flush(last); err != nil {
		a.log.WarnContext(last, "refused attempts are not recorded", "error", err)
	}
	return err
}

// Flush writes the counts now. After an error the counts that were not written are kept.
func (a *Attempts) Flush(ctx context.Context) error {
	a.mu.Lock()
	counts := a.counts
	a.counts = map[kind]*tally{}
	a.mu.Unlock()

	for k, t := range counts {
		e := t.entry
		e.Count, e.network, e.Subject, e.User = t.n, k.network, severalSubjects, uuid.Nil
		if !t.mixed && t.user != uuid.Nil {
			e.Subject, e.User = t.user.String(), t.user
		}
		if err := Record(asAnonymous(ctx), a.pool, e); err != nil {
			a.keep(counts)
			return err
		}
		delete(counts, k)
	}
	return nil
}

// severalSubjects is the subject of an entry that counts attempts at several or unknown accounts.
const severalSubjects = "several"

func (a *Attempts) keep(counts map[kind]*tally) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, t := range counts {
		if now := a.counts[k]; now != nil {
			t.n, t.mixed = t.n+now.n, t.mixed || now.mixed || t.user != now.user
		}
		a.counts[k] = t
	}
}

// fingerprint returns an HMAC of a name, which identifies it in the trail without telling it. The
// key is one of the database.
func (a *Attempts) fingerprint(ctx context.Context, name string) (string, error) {
	a.mu.Lock()
	key := a.key
	a.mu.Unlock()
	if key == nil {
		if err := a.pool.QueryRow(ctx, `select fingerprint_key from audit_chain`).Scan(&key); err != nil {
			return "", fmt.Errorf("read the fingerprint key: %w", err)
		}
		a.mu.Lock()
		a.key = key
		a.mu.Unlock()
	}
	sum := hmac.New(sha256.New, key)
	_, _ = sum.Write([]byte(name))
	return "unknown:" + hex.EncodeToString(sum.Sum(nil)[:16]), nil
}
