// Package canonical is the one JSON encoder of the product: HTTP bodies, events
// and stored responses are written with it. The same value always gives the same
// bytes, so a response that is stored can be compared with one that is made later.
package canonical

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var options = json.JoinOptions(json.Deterministic(true), jsontext.AllowInvalidUTF8(true))

// Marshal encodes v as JSON. Members of maps are sorted, a nil slice is [] and a nil
// map {}, and text that is not UTF-8 is repaired rather than refused. As in JSON v2,
// omitempty drops what renders as "", null, [] or {}; a zero number needs omitzero.
func Marshal(v any) ([]byte, error) { return json.Marshal(v, options) }
