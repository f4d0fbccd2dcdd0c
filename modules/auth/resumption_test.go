package auth

import (
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC E20: a resumption token opens the stream of its ticket again, for its caller, as long as the
// session is valid.
func TestResumptionToken_E20(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	caller := b.caller(p.access)
	issue := func() (ticket, token string) {
		ticket, _, err := b.IssueTicket(b.ctx, caller)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.RedeemTicket(b.ctx, ticket); err != nil || got != caller {
			t.Fatal(got, err)
		}
		return ticket, b.ResumptionToken(ticket, caller)
	}
	ticket, token := issue()
	otherTicket, otherToken := issue()

	for range 3 {
		if got, err := b.ResumeTicket(b.ctx, ticket, token); err != nil || got != caller {
			t.Errorf("resumed as %v, %v", got, err)
		}
	}
	otherKey := &Module{signer: &signer{keys: Keys{list: []Key{newKey("x", []byte(strings.Repeat("x", minSecret)))}}}}
	for name, pair := range map[string][2]string{
		"another ticket":    {otherTicket, token},
		"another token":     {ticket, otherToken},
		"no ticket":         {"", token},
		"no token":          {ticket, ""},
		"cut":               {ticket, token[:42]},
		"longer":            {ticket, token + "A"},
		"other base64":      {ticket, token[:42] + "/"},
		"the ticket itself": {ticket, ticket},
		"another key":       {ticket, otherKey.ResumptionToken(ticket, caller)},
		"another session":   {ticket, b.ResumptionToken(ticket, identity.Caller{})[:10] + token[10:]},
	} {
		if _, err := b.ResumeTicket(b.ctx, pair[0], pair[1]); !fault.Is(err, "invalid-ticket") {
			t.Errorf("%s: %v", name, err)
		}
	}

	b.do("POST", "/v1/auth/logout", p.access, "")
	if _, err := b.ResumeTicket(b.ctx, ticket, token); !fault.Is(err, "invalid-ticket") {
		t.Errorf("of an ended session: %v", err)
	}
}

// SPEC E20: while keys are rotated, tokens of every key are valid.
func TestResumptionTokenOfAnOlderKey_E20(t *testing.T) {
	t.Parallel()
	b := setup(t)
	caller := b.caller(b.logsIn().access)
	token := b.ResumptionToken("ticket", caller)
	b.signer.keys.list = append([]Key{newKey("new", []byte(strings.Repeat("n", minSecret)))}, b.signer.keys.list...)

	if got, err := b.ResumeTicket(b.ctx, "ticket", token); err != nil || got != caller {
		t.Errorf("resumed as %v, %v", got, err)
	}
	if b.ResumptionToken("ticket", caller) == token {
		t.Error("the new key does not sign")
	}
}
