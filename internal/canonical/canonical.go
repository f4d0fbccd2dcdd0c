// Package canonical is the JSON encoder of the product for HTTP bodies, events and stored
// responses. The same value always gives the same bytes, so a stored response can be compared with
// one that is rendered later.
package canonical

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var options = json.JoinOptions(json.Deterministic(true), jsontext.AllowInvalidUTF8(true))

// Marshal encodes v as JSON. Members of maps are sorted, a nil slice is encoded as [] and a nil map
// as {}, and invalid UTF-8 is replaced instead of being an error. As in JSON v2, omitempty omits
// values that are encoded as "", null, [] or {}; omitting a zero number requires omitzero.
func Marshal(v any) ([]byte, error) { return json.Marshal(v, options) }
