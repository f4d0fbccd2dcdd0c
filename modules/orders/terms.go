package orders

import (
	"slices"
	"strings"
	"unicode"

	"github.com/orderflow-dev/orderflow/ent"
)

// terms returns the search terms of an order: the words of its reference, note, skus and names,
// and the reference and skus as a whole.
func terms(row *ent.Order, lines []Line) []string {
	var list []string
	whole := func(s string) { list = append(list, strings.Join(strings.Fields(strings.ToLower(s)), "_")) }
	if row.Reference != nil {
		whole(*row.Reference)
		list = append(list, split(*row.Reference)...)
	}
	if row.Note != nil {
		list = append(list, split(*row.Note)...)
	}
	for _, line := range lines {
		whole(line.SKU)
		list = append(list, split(line.SKU)...)
		list = append(list, split(line.Name)...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func split(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
}
