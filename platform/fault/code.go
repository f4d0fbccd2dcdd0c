package fault

// Catalog documents the error codes that a part of the program uses, for the API guide. A test compares
// the catalogs of the product with the faults that its source creates.
type Catalog struct {
	Codes  []Code
	Fields []FieldCode
	// Failures are the values of failure.code, the reason why processing an order failed.
	Failures []FieldCode
}

// Add appends another catalog.
func (c *Catalog) Add(more Catalog) {
	c.Codes = append(c.Codes, more.Codes...)
	c.Fields = append(c.Fields, more.Fields...)
	c.Failures = append(c.Failures, more.Failures...)
}

// Code documents a value of Error.Code.
type Code struct {
	Name    string
	Kinds   []Kind // of the faults with this code, in the order of their status
	Meaning string // when the code occurs; Markdown
	Action  string // what the client should do; Markdown
	Retry   Retry
}

// FieldCode documents a value of Field.Code or of failure.code.
type FieldCode struct {
	Name    string
	Meaning string // Markdown; of a field it completes "The value ..."
}

// Retry tells whether the same request can succeed when the client sends it again.
type Retry int

// The values of Retry.
const (
	RetryNever Retry = iota // the request has to be changed
	RetryLater              // the cause passes without the client
	RetryAfter              // when the client has done what Action says
)

// String returns the text of the guide.
func (r Retry) String() string {
	switch r {
	case RetryLater:
		return "yes, after `Retry-After` or a second, with the same `Idempotency-Key`"
	case RetryAfter:
		return "yes, after that"
	default:
		return "no"
	}
}
