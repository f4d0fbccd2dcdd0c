package lifecycle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/platform/golden"
)

// C9: only the table's moves exist. The golden file is the table of the
// specification written out for every pair of statuses and every party.
func TestTableIsTheSpecification(t *testing.T) {
	t.Parallel()

	var b strings.Builder
	for _, from := range All {
		for _, held := range []Status{"", Pending, Confirmed, Processing} {
			if (from == OnHold) != (held != "") {
				continue
			}
			for _, who := range []Role{System, Owner, Admin} {
				at := State{Status: from, HeldFrom: held}
				fmt.Fprintf(&b, "%s%s by %s -> %v\n", from, map[bool]string{true: "(" + string(held) + ")"}[held != ""],
					map[Role]string{System: "system", Owner: "owner", Admin: "admin"}[who], Next(at, who))
			}
		}
	}

	golden.Check(t, "testdata/table.golden", b.String())
}

// C9, C10: what Next lists Check allows, and nothing else.
func TestCheckAgreesWithNext(t *testing.T) {
	t.Parallel()

	for _, from := range All {
		for _, to := range All {
			for who := System; who <= System|Owner|Admin; who++ {
				at := State{Status: from}
				if from == OnHold {
					at.HeldFrom = Confirmed
				}

				err := Check(at, to, who)

				if listed := slices.Contains(Next(at, who), to); listed != (err == nil) {
					t.Errorf("%s -> %s by %b: listed %v, error %v", from, to, who, listed, err)
				}
				var illegal *IllegalTransition
				if err != nil && (!errors.As(err, &illegal) || illegal.From != from || illegal.To != to) {
					t.Errorf("%s -> %s: refused with %v", from, to, err)
				}
			}
		}
	}
}

func TestFinalStatusesHaveNoWayOut(t *testing.T) {
	t.Parallel()

	for _, s := range All {
		if out := Next(State{Status: s}, System|Owner|Admin); s.Meaning().Final != (len(out) == 0) && s != OnHold {
			t.Errorf("%s: final %v, but may become %v", s, s.Meaning().Final, out)
		}
	}
}
