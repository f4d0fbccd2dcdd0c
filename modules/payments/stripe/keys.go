package stripe

import (
	"strconv"

	"github.com/stripe/stripe-go/v85"
)

// maxKeys limits the keys that a call tries. Every attempt of a job adds at most one key with a
// retryable response.
const maxKeys = 16

// once makes a call with its key and reports whether the response is a stored one.
//
// Stripe stores the response to the first call with a key, including a 500. A stored response
// that is not final would be returned to every further attempt, so the call continues with
// key:2, key:3 and so on: every caller uses the same sequence and stops at the first response
// that is final or new. The request must be safe to repeat with a new key.
func (p *Provider) once(params *stripe.Params, key string, ask func() (*stripe.APIResource, error)) (replayed bool, err error) {
	for n := 1; n <= maxKeys; n++ {
		params.SetIdempotencyKey(key)
		if n > 1 {
			params.SetIdempotencyKey(key + ":" + strconv.Itoa(n))
		}
		answer, raw := ask()
		replayed, err = isReplay(answer, raw), p.explain(raw)
		if err == nil || final(err) || !replayed {
			break
		}
	}
	return replayed, err
}

func isReplay(answer *stripe.APIResource, err error) bool {
	if e := stripeError(err); e != nil {
		answer = &e.APIResource
	}
	return answer != nil && answer.LastResponse != nil && answer.LastResponse.Header.Get("Idempotent-Replayed") == "true"
}
