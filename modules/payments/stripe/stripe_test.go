package stripe_test

import (
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// SPEC D3: where an intent stands after it was confirmed decides. A stored answer
// may be old, so then it is looked at.
func TestAuthorize_D3(t *testing.T) {
	t.Parallel()
	last := `,"last_payment_error":{"type":"card_error","code":"card_declined","decline_code":"stolen_card","message":"No."}}`
	rows := map[string]struct {
		replies []reply
		want    string
	}{
		"holds":           {[]reply{{to: confirm, status: 200, body: intent("requires_capture")}}, "ok"},
		"wants an action": {[]reply{{to: confirm, status: 200, body: intent("requires_action")}}, "declined authentication-required"},
		"is undecided":    {[]reply{{to: confirm, status: 200, body: intent("processing")}}, "retry"},
		"asked again": {[]reply{
			{to: confirm, status: 200, body: intent("requires_capture"), replayed: true},
			{to: look, status: 200, body: intent("requires_capture")},
		}, "ok"},
		"asked again after a void": {[]reply{
			{to: confirm, status: 200, body: intent("requires_capture"), replayed: true},
			{to: look, status: 200, body: intent("canceled")},
		}, "declined voided"},
		"asked again after a capture": {[]reply{
			{to: confirm, status: 200, body: intent("requires_capture"), replayed: true},
			{to: look, status: 200, body: intent("succeeded")},
		}, "ok"},
		"voided first": {[]reply{
			{to: confirm, status: 400, body: unexpected},
			{to: look, status: 200, body: intent("canceled")},
		}, "declined voided"},
		"a 500 that is stored": {[]reply{
			{to: confirm, status: 500, body: broken, replayed: true},
			{to: confirm + ":2", status: 200, body: intent("requires_capture")},
		}, "ok"},
		"two that are stored": {[]reply{
			{to: confirm, status: 500, body: broken, replayed: true},
			{to: confirm + ":2", status: 500, body: broken, replayed: true},
			{to: confirm + ":3", status: 500, body: broken},
		}, "retry"},
		"a 500 that held money": {[]reply{
			{to: confirm, status: 500, body: broken, replayed: true},
			{to: confirm + ":2", status: 400, body: unexpected},
			{to: look, status: 200, body: intent("requires_capture")},
		}, "ok"},
		"a 500 that was a decline": {[]reply{
			{to: confirm, status: 500, body: broken, replayed: true},
			{to: confirm + ":2", status: 400, body: unexpected},
			{to: look, status: 200, body: strings.TrimSuffix(intent("requires_payment_method"), "}") + last},
		}, "declined stolen-card"},
		"cannot look": {[]reply{
			{to: confirm, status: 400, body: unexpected},
			{to: look, status: 503, body: broken},
		}, "retry"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := says(t, append([]reply{created}, row.replies...)...)

			reference, err := s.Authorize(t.Context(), attempt)

			expect(t, err, row.want)
			if (reference == "pi_1") != (err == nil) {
				t.Errorf("reference %q", reference)
			}
		})
	}
}

func TestCapture_D3(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		replies []reply
		want    string
	}{
		"takes": {[]reply{{to: capture, status: 200, body: intent("succeeded")}}, "ok"},
		"again": {[]reply{{to: capture, status: 200, body: intent("succeeded"), replayed: true}}, "ok"},
		"taken already": {[]reply{
			{to: capture, status: 400, body: unexpected}, {to: look, status: 200, body: intent("succeeded")},
		}, "ok"},
		"taken otherwise": {[]reply{
			{to: capture, status: 400, body: unexpected}, {to: look, status: 200, body: strings.ReplaceAll(intent("succeeded"), "1250", "1000")},
		}, "rejected already-captured"},
		"lapsed": {[]reply{
			{to: capture, status: 400, body: unexpected}, {to: look, status: 200, body: intent("canceled")},
		}, "rejected voided"},
		"undecided": {[]reply{
			{to: capture, status: 400, body: unexpected}, {to: look, status: 200, body: intent("processing")},
		}, "retry"},
		"never held": {[]reply{
			{to: capture, status: 400, body: unexpected}, {to: look, status: 200, body: intent("requires_confirmation")},
		}, "rejected payment-intent-unexpected-state"},
		"a 500 that took": {[]reply{
			{to: capture, status: 500, body: broken, replayed: true}, {to: capture + ":2", status: 400, body: unexpected},
			{to: look, status: 200, body: intent("succeeded")},
		}, "ok"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := says(t, row.replies...)

			expect(t, s.Capture(t.Context(), taking), row.want)
		})
	}
}

// SPEC D2: nothing stays held, whether the authorisation was answered, lost, or is
// still to come.
func TestVoid_D2(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reference string
		replies   []reply
		want      string
	}{
		"known":      {"pi_1", []reply{{to: cancel, status: 200, body: intent("canceled")}}, "ok"},
		"unknown":    {"", []reply{created, {to: cancel, status: 200, body: intent("canceled")}}, "ok"},
		"canceled":   {"pi_1", []reply{{to: cancel, status: 400, body: unexpected}, {to: look, status: 200, body: intent("canceled")}}, "ok"},
		"captured":   {"pi_1", []reply{{to: cancel, status: 400, body: unexpected}, {to: look, status: 200, body: intent("succeeded")}}, "rejected already-captured"},
		"undecided":  {"pi_1", []reply{{to: cancel, status: 400, body: unexpected}, {to: look, status: 200, body: intent("processing")}}, "retry"},
		"never made": {"", []reply{{to: create, status: 400, body: fails("invalid_request_error", "amount_too_small", "")}}, "ok"},
		"no method":  {"", []reply{{to: create, status: 400, body: fails("invalid_request_error", "resource_missing", `,"param":"payment_method"`)}}, "ok"},
		"being made": {"", []reply{{to: create, status: 409, body: fails("idempotency_error", "idempotency_key_in_use", "")}}, "retry"},
		"mismatch":   {"", []reply{{to: create, status: 400, body: fails("idempotency_error", "", "")}}, "rejected idempotency-mismatch"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := says(t, row.replies...)

			err := s.Void(t.Context(), payments.Void{Key: "V", Reference: row.reference, Of: attempt})

			expect(t, err, row.want)
		})
	}
}

// SPEC C8: a refund that may have been made is looked for before it is made again.
func TestRefund_C8(t *testing.T) {
	t.Parallel()
	refunds := func(key string) string {
		return `{"object":"list","url":"/v1/refunds","has_more":false,"data":[{"id":"re_0","metadata":{}},{"id":"re_1","status":"succeeded","metadata":{"key":"` + key + `"}}]}`
	}
	rows := map[string]struct {
		replies []reply
		want    string
	}{
		"made":     {[]reply{{to: refund, status: 200, body: `{"id":"re_1","status":"succeeded"}`}}, "ok"},
		"pending":  {[]reply{{to: refund, status: 200, body: `{"id":"re_1","status":"pending"}`}}, "ok"},
		"failed":   {[]reply{{to: refund, status: 200, body: `{"id":"re_1","status":"failed","failure_reason":"expired_or_canceled_card"}`}}, "rejected expired-or-canceled-card"},
		"gone":     {[]reply{{to: refund, status: 200, body: `{"id":"re_1","status":"canceled"}`}}, "rejected refund-failed"},
		"too much": {[]reply{{to: refund, status: 400, body: fails("invalid_request_error", "charge_already_refunded", "")}}, "rejected charge-already-refunded"},
		"a 500 that made it": {[]reply{
			{to: refund, status: 500, body: broken, replayed: true},
			{to: list, status: 200, body: refunds("R")},
		}, "ok"},
		"a 500 that did not": {[]reply{
			{to: refund, status: 500, body: broken, replayed: true},
			{to: list, status: 200, body: refunds("another")},
			{to: refund + ":2", status: 200, body: `{"id":"re_1","status":"succeeded"}`},
		}, "ok"},
		"cannot look": {[]reply{
			{to: refund, status: 500, body: broken, replayed: true},
			{to: list, status: 503, body: broken},
		}, "retry"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := says(t, row.replies...)

			reference, err := s.Refund(t.Context(), returning)

			expect(t, err, row.want)
			if (reference == "re_1") != (err == nil) {
				t.Errorf("reference %q", reference)
			}
		})
	}
}

// Currencies in which Stripe counts otherwise than ISO 4217.
func TestAmounts(t *testing.T) {
	t.Parallel()
	rows := []struct {
		amount   int64
		currency string
		want     string
	}{
		{1250, "EUR", "amount=1250"},
		{500, "JPY", "amount=500"},
		{500, "ISK", "amount=50000"},
		{500, "UGX", "amount=50000"},
		{1 << 60, "ISK", ""},
		{500, "MGA", "amount=5"},
		{550, "MGA", ""},
		{5120, "KWD", "amount=5120"},
		{5124, "KWD", ""},
	}
	for _, row := range rows {
		s := says(t)
		s.replies = []reply{{to: refund, status: 200, body: `{"id":"re_1","status":"succeeded"}`}}
		r := returning
		r.Amount = money.Money{Amount: row.amount, Currency: row.currency}

		_, err := s.Refund(t.Context(), r)

		if row.want == "" {
			expect(t, err, "rejected invalid-amount")
			s.replies = nil
			continue
		}
		expect(t, err, "ok")
		if !strings.Contains(s.seen[0], row.want+"&") {
			t.Errorf("%d %s: %s, want %s", row.amount, row.currency, s.seen[0], row.want)
		}
	}
}
