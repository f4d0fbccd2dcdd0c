package events

// Kind describes the events of one type to those who are told of them. Types are for
// ever, and to the data of a type members are only ever added.
type Kind struct {
	Type string // order.created
	Doc  string // one sentence: what has happened
	Data any    // a zero value of what its data is rendered from
	Note bool   // goes to the inbox of whose order it is (SPEC E7)
}

// Types are the names, in the same order.
func Types(kinds []Kind) []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Type
	}
	return names
}
