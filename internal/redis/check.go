package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// RefusedError means that Redis answers and does not serve this client: a fault of its URL or of the
// settings of Redis, which does not go away by itself. Its text contains nothing of the URL.
type RefusedError struct{ reason string }

// Error describes the reason, such as "requires a password".
func (e *RefusedError) Error() string { return e.reason }

// refusals are the errors of Redis for clients that it does not serve, by a part of their text. The text
// itself is not used, because NOPERM quotes the name of the user.
var refusals = []struct{ part, reason string }{
	{"NOAUTH", "requires a password"},
	{"called without any password configured", "has no password, but the URL has one"},
	{"no password is set", "has no password, but the URL has one"},
	{"WRONGPASS", "refuses the user or the password"},
	{"invalid password", "refuses the user or the password"},
	{"NOPERM", "does not permit the user to run the commands of a limiter"},
	{"DB index is out of range", "has no database with this number"},
	{"invalid DB index", "has no database with this number"},
}

// Check asks Redis to run a script, as a Limiter does. It returns a *RefusedError if Redis does not
// serve this client, another error if Redis does not respond within 100 ms, and nil otherwise.
func (c *Client) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	err := c.Eval(ctx, "return redis.call('TIME')[1]", []string{keyPrefix + "check"}).Err()
	if err == nil {
		return nil
	}
	if said, ok := errors.AsType[goredis.Error](err); ok {
		for _, r := range refusals {
			if strings.Contains(said.Error(), r.part) {
				return &RefusedError{r.reason}
			}
		}
	}
	return fmt.Errorf("cannot be reached: %s", reason(err))
}
