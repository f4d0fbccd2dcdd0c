package stripe

import (
	"strconv"

	"github.com/stripe/stripe-go/v85"
)

// maxKeys bounds how far a call goes on after answers that say "later" for ever.
// Every try of a job adds one such answer at most.
const maxKeys = 16

// once makes a call with its key and tells whether the answer is a stored one.
//
// Stripe stores the answer to the first call with a key, a 500 included. A stored
// answer that is not final would be given to every further try, so the call goes on
// to key:2, key:3 and so on: every caller walks the same way and stops at the first
// answer that is final or fresh. What is asked must bear being asked under a new key.
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
