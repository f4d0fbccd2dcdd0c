package orders

import (
	"encoding/json"
	"errors"

	"github.com/orderflow-dev/orderflow/ent"
)

// GivenRequest is the part of a request that the order shows as it came. Its members are
// absent from the JSON when they were not given, since the fingerprint of an idempotency
// key is the JSON of the request.
type GivenRequest struct {
	Reference *string  `json:"reference,omitzero" minLength:"1" maxLength:"100" doc:"Your own number, unique among your orders"`
	Note      *string  `json:"note,omitzero" maxLength:"2000"`
	Metadata  Metadata `json:"metadata,omitzero"`
}

// Given is the same in an order: one type converts to the other, so both have the same
// fields in the same order. The tag csv is the number of the column in the export; new
// columns go to the end, because people read them by number. A new member has the tag
// required:"false", because stored responses and events of earlier versions lack it. Deleting
// an order removes all of it from the order's events.
type Given struct {
	Reference *string  `json:"reference" csv:"8" doc:"The caller's own number"`
	Note      *string  `json:"note" csv:"14"`
	Metadata  Metadata `json:"metadata" csv:"15"`
}

// givenOf reads it from a row.
func givenOf(row *ent.Order) Given {
	return Given{Reference: row.Reference, Note: row.Note, Metadata: Metadata(row.Metadata)}
}

// store writes it into the row of a new order.
func (g Given) store(row *ent.Order) {
	row.Reference, row.Note, row.Metadata = g.Reference, g.Note, json.RawMessage(g.Metadata)
}

// someGiven is the example in the documents of the API, and what tests send and expect.
var someGiven = Given{
	Reference: new("PO-4711"),
	Note:      new("a gift"),
	Metadata:  Metadata(`{"channel":"shop"}`),
}

// Metadata is the caller's own JSON object, kept as it came.
type Metadata json.RawMessage

// MarshalJSON writes what was kept, null when nothing was.
func (m Metadata) MarshalJSON() ([]byte, error) {
	if len(m) == 0 {
		return []byte("null"), nil
	}
	return m, nil
}

// UnmarshalJSON keeps an object; null is the same as absent.
func (m *Metadata) UnmarshalJSON(raw []byte) error {
	switch {
	case string(raw) == "null":
		*m = nil
	case len(raw) > 0 && raw[0] == '{':
		*m = append((*m)[:0], raw...)
	default:
		return errors.New("metadata must be an object")
	}
	return nil
}
