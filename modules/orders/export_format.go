package orders

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
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

// csvColumn is one column of the table.
type csvColumn struct {
	number int // from 1 on; people read columns by number, so it never changes
	name   string
	cell   func(o *Order) string
}

// columns are those of the members of Given, which say their number in a tag, and the
// following. A new column has the number after the last.
var columns = numbered(append(givenColumns(), []csvColumn{
	{1, "id", func(o *Order) string { return o.ID.String() }},
	{2, "userId", func(o *Order) string { return o.UserID.String() }},
	{3, "createdAt", func(o *Order) string { return o.CreatedAt.String() }},
	{4, "updatedAt", func(o *Order) string { return o.UpdatedAt.String() }},
	{5, "version", func(o *Order) string { return strconv.FormatInt(o.Version, 10) }},
	{6, "status", func(o *Order) string { return string(o.Status) }},
	{7, "paymentStatus", func(o *Order) string { return o.PaymentStatus }},
	{9, "currency", func(o *Order) string { return o.Total.Currency }},
	{10, "total", func(o *Order) string { return strconv.FormatInt(o.Total.Amount, 10) }}, // minor units, as in JSON
	{11, "lines", func(o *Order) string { return strconv.Itoa(len(o.Items)) }},
	{12, "units", func(o *Order) string { return strconv.FormatInt(units(o.Items), 10) }},
	{13, "items", func(o *Order) string { return itemsCell(o.Items) }},
	{16, "onShortage", func(o *Order) string { return o.OnShortage }},
	{17, "reason", func(o *Order) string { return storage.Deref(o.Reason) }},
	{18, "heldFrom", func(o *Order) string { return storage.Deref(o.HeldFrom) }},
	{19, "failureCode", func(o *Order) string { return failure(o).Code }},
	{20, "failureDetail", func(o *Order) string { return failure(o).Detail }},
	{21, "paymentMethod", func(o *Order) string { return storage.Deref(o.PaymentMethod) }},
	{22, "captured", func(o *Order) string { return strconv.FormatInt(o.Captured.Amount, 10) }},
	{23, "refunded", func(o *Order) string { return strconv.FormatInt(o.Refunded.Amount, 10) }},
	{24, "refunding", func(o *Order) string { return strconv.FormatInt(o.Refunding.Amount, 10) }},
	{25, "tracking", func(o *Order) string { return storage.Deref(o.Tracking) }},
	{26, "stalled", func(o *Order) string { return storage.Deref(o.Stalled) }},
}...))

// numbered sorts columns by number. It panics unless the numbers are 1, 2, 3 and so on.
func numbered(list []csvColumn) []csvColumn {
	slices.SortStableFunc(list, func(a, b csvColumn) int { return a.number - b.number })
	for i, c := range list {
		if c.number != i+1 {
			panic(fmt.Sprintf("orders: the CSV column %s has number %d, but the numbers are 1 to %d without gaps; a new column has the number %[3]d", c.name, c.number, len(list)))
		}
	}
	return list
}

// givenColumns are the columns that the tags of Given declare. A member without a number
// gets 0, which numbered refuses.
func givenColumns() (list []csvColumn) {
	for i, f := range reflect.VisibleFields(reflect.TypeFor[Given]()) {
		number, _ := strconv.Atoi(f.Tag.Get("csv"))
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		list = append(list, csvColumn{number, name, func(o *Order) string {
			return givenCell(reflect.ValueOf(&o.Given).Elem().Field(i).Addr().Interface())
		}})
	}
	return list
}

// givenCell writes down a member of Given, of which it gets the address.
func givenCell(member any) string {
	switch m := member.(type) {
	case **string:
		return storage.Deref(*m)
	case *Metadata:
		return string(*m)
	default:
		panic(fmt.Sprintf("orders: there is no CSV cell for a %T", member))
	}
}

func failure(o *Order) lifecycle.Failure {
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
		b = appendCell(b, c.cell(&o))
	}
	return append(b, "\r\n"...), nil
}
