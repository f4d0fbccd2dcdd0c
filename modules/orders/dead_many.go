package orders

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// DeadLetterResult is the result of resolving one dead letter.
type DeadLetterResult struct {
	ID      uuid.UUID `json:"id"`
	OrderID uuid.UUID `json:"orderId"`
	Step    string    `json:"step"`
	Done    bool      `json:"done"`
	Code    *string   `json:"code" doc:"The error code, if it could not be resolved"`
	Detail  *string   `json:"detail"`
}

const lettersAtOnce = 500

// oneLetter is the time that resolving one dead letter may take, mostly waiting for a lock.
const oneLetter = 2 * time.Second

// ResolveMany resolves up to 500 dead letters that match a filter, each order in its own
// transaction. It stops when the deadline of ctx is near; the next call resolves the rest. A
// dry run only returns the dead letters that match.
func (m *Module) ResolveMany(ctx context.Context, caller identity.Caller, f DeadLetterQuery, how string, reason *string, dryRun bool) ([]DeadLetterResult, error) {
	if err := mustSay(how, reason); err != nil {
		return nil, err
	}
	f.Limit = lettersAtOnce
	list, err := m.DeadLetters(ctx, f)
	if err != nil {
		return nil, err
	}
	results := make([]DeadLetterResult, len(list))
	for i, l := range list {
		results[i] = DeadLetterResult{ID: l.ID, OrderID: l.OrderID, Step: l.Step}
		if dryRun {
			continue
		}
		if until, ok := ctx.Deadline(); ok && time.Until(until) < oneLetter {
			return results[:i], nil
		}
		_, err := m.Resolve(ctx, caller, l.ID, how, reason, idempotency.Key[Order]{})
		refused, told := fault.As(err)
		if err != nil && !told {
			return nil, err // earlier ones are resolved; the next call resolves the rest
		}
		results[i].Done = err == nil
		if told {
			results[i].Code, results[i].Detail = &refused.Code, &refused.Detail
		}
	}
	return results, nil
}
