package orders

import (
	"strconv"
	"strings"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/canonical"
)

// NDJSON and CSV are the formats of an export: one JSON document per line, and a table with a
// header row (RFC 4180).
var (
	NDJSON = format{contentType: "application/x-ndjson", extension: "ndjson", write: appendJSON}
	CSV    = format{contentType: "text/csv; charset=utf-8", extension: "csv", header: csvHeader(), write: appendRow}
)

// appendJSON writes an order as GET returns it, without the allowed actions.
func appendJSON(b []byte, o Order) ([]byte, error) {
	raw, err := canonical.Marshal(o)
	return append(append(b, raw...), '\n'), err
}

// columns are the columns of the table. New ones are appended, because scripts read columns by
// position.
var columns = []struct {
	name string
	cell func(o Order) string
}{
	{"id", func(o Order) string { return o.ID.String() }},
	{"userId", func(o Order) string { return o.UserID.String() }},
	{"createdAt", func(o Order) string { return o.CreatedAt.String() }},
	{"updatedAt", func(o Order) string { return o.UpdatedAt.String() }},
	{"version", func(o Order) string { return strconv.FormatInt(o.Version, 10) }},
	{"status", func(o Order) string { return string(o.Status) }},
	{"paymentStatus", func(o Order) string { return o.PaymentStatus }},
	{"reference", func(o Order) string { return deref(o.Reference) }},
	{"currency", func(o Order) string { return o.Total.Currency }},
	{"total", func(o Order) string { return strconv.FormatInt(o.Total.Amount, 10) }}, // minor units, as in JSON
	{"lines", func(o Order) string { return strconv.Itoa(len(o.Items)) }},
	{"units", func(o Order) string { return strconv.FormatInt(units(o.Items), 10) }},
	{"items", func(o Order) string { return itemsCell(o.Items) }},
	{"note", func(o Order) string { return deref(o.Note) }},
	{"metadata", func(o Order) string { return string(o.Metadata) }},
	{"onShortage", func(o Order) string { return o.OnShortage }},
	{"reason", func(o Order) string { return deref(o.Reason) }},
	{"heldFrom", func(o Order) string { return deref(o.HeldFrom) }},
	{"failureCode", func(o Order) string { return failure(o).Code }},
	{"failureDetail", func(o Order) string { return failure(o).Detail }},
	{"paymentMethod", func(o Order) string { return deref(o.PaymentMethod) }},
	{"captured", func(o Order) string { return strconv.FormatInt(o.Captured.Amount, 10) }},
	{"refunded", func(o Order) string { return strconv.FormatInt(o.Refunded.Amount, 10) }},
	{"refunding", func(o Order) string { return strconv.FormatInt(o.Refunding.Amount, 10) }},
	{"tracking", func(o Order) string { return deref(o.Tracking) }},
	{"stalled", func(o Order) string { return deref(o.Stalled) }},
}

func failure(o Order) lifecycle.Failure {
	if o.Failure == nil {
		return lifecycle.Failure{}
	}
	return *o.Failure
}

func units(lines []Line) (n int64) {
	for _, l := range lines {
		n += l.Quantity
	}
	return n
}

// itemsCell returns the lines in the form "2 x BEANS; 1 x KETTLE".
func itemsCell(lines []Line) string {
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(strconv.FormatInt(l.Quantity, 10) + " x " + l.SKU)
	}
	return b.String()
}

func csvHeader() string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return strings.Join(names, ",") + "\r\n"
}

func appendRow(b []byte, o Order) ([]byte, error) {
	for i, c := range columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendCell(b, c.cell(o))
	}
	return append(b, "\r\n"...), nil
}

// appendCell writes a cell. A text that a spreadsheet would interpret as a formula gets an
// apostrophe in front (SPEC C12; OWASP, CSV injection). encoding/csv is not used because it
// changes line breaks within the text.
func appendCell(b []byte, text string) []byte {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		text = "'" + text
	}
	if !strings.ContainsAny(text, ",\"\r\n") {
		return append(b, text...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(text, `"`, `""`)...)
	return append(b, '"')
}
