package orders

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// DeadLetterResult is what became of one dead letter.
type DeadLetterResult struct {
	ID      uuid.UUID `json:"id"`
	OrderID uuid.UUID `json:"orderId"`
	Step    string    `json:"step"`
	Done    bool      `json:"done"`
	Code    *string   `json:"code" doc:"The error code, if it could not be resolved"`
	Detail  *string   `json:"detail"`
}

const lettersAtOnce = 500

// oneLetter is what it may take to resolve one: a lock that is waited for.
const oneLetter = 2 * time.Second

// ResolveMany deals with the dead letters that a filter meets, up to 500 of them, each
// order in a transaction of its own. It ends early when the deadline of ctx is near: the
// next call finds the others. A dry run only tells which would be met.
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
			return nil, err // those before are done; the next call finds the rest
		}
		results[i].Done = err == nil
		if told {
			results[i].Code, results[i].Detail = &refused.Code, &refused.Detail
		}
	}
	return results, nil
}
