package orders

import (
	"reflect"
	"testing"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/canonical"
)

// C1, C6: every member that a customer gives is stored in the row and read from it, and
// has an example, from which the other tests make their requests.
func TestGivenIsStoredAndRead_C6(t *testing.T) {
	t.Parallel()
	var row ent.Order
	someGiven.store(&row)
	read := givenOf(&row)

	example, got := reflect.ValueOf(someGiven), reflect.ValueOf(read)
	for i, f := range reflect.VisibleFields(example.Type()) {
		if example.Field(i).IsZero() {
			t.Errorf("someGiven has no example of %s", f.Name)
		}
		if !reflect.DeepEqual(example.Field(i).Interface(), got.Field(i).Interface()) {
			t.Errorf("%s is lost between store and givenOf", f.Name)
		}
	}
}

// C3: the fingerprint of an idempotency key is the JSON of the request, so a request
// without a new member renders as it did before the member existed.
func TestRequestRendersAsBefore_C3(t *testing.T) {
	t.Parallel()
	whole := OrderRequest{
		Items: []OrderRequestItem{{SKU: "KETTLE", Quantity: 2}}, PaymentMethod: new("pm_card_visa"), OnShortage: "hold",
		GivenRequest: GivenRequest{Reference: new("PO-1"), Note: new("a gift"), Metadata: Metadata(`{"a":1}`)},
	}
	for want, request := range map[string]OrderRequest{
		`{"items":[]}`: {},
		`{"items":[{"sku":"KETTLE","quantity":2}],"reference":"PO-1","note":"a gift","metadata":{"a":1},"paymentMethod":"pm_card_visa","onShortage":"hold"}`: whole,
	} {
		raw, err := canonical.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		if string(raw) != want {
			t.Errorf("the request is\n%s, before it was\n%s; a new member needs omitzero, and no member moves", raw, want)
		}
	}
}
