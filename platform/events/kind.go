package events

// Kind describes the events of one type for subscribers. A type never changes its meaning, and
// members are only ever added to its data.
type Kind struct {
	Type string // order.created
	Doc  string // one sentence: what has happened
	// Data is an example: a value of the type from which the data is rendered, with every member
	// that events of this type may have.
	Data any
	// Required lists the members of the data that are always present, besides those that every event
	// has.
	Required []string
	Notify   bool // added to the inbox of the order's owner (SPEC E7)
}

// Types returns the names of the types, in the same order.
func Types(kinds []Kind) []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Type
	}
	return names
}
