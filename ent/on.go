package ent

import "github.com/orderflow-dev/orderflow/platform/postgres"

// On returns the client that reads and writes on q: the pool, or the transaction of the caller.
// It costs an allocation and holds nothing open.
func On(q postgres.Querier) *Client { return NewClient(Driver(postgres.Driver(q))) }
