package events

// Kind describes the events of one type to those who are told of them. Types are for
// ever, and to the data of a type members are only ever added.
type Kind struct {
	Type string // order.created
	Doc  string // one sentence: what has happened
	// Data is an example: a value of what data are rendered from, with every member that
	// events of this type may have.
	Data any
	// Always names the members of the data that are there besides those that every
	// event has.
	Always []string
	Note   bool // goes to the inbox of whose order it is (SPEC E7)
}

// Types are the names, in the same order.
func Types(kinds []Kind) []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Type
	}
	return names
}
