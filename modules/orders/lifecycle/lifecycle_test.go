package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/golden"
)

// C9: only the table's moves exist. The golden file is the table of the
// specification written out for every pair of statuses and every party.
func TestTableIsTheSpecification(t *testing.T) {
	t.Parallel()

	var b strings.Builder
	for _, from := range All {
		for _, held := range heldFrom(from) {
			for _, who := range []Role{System, Owner, Admin} {
				at := State{Status: from, HeldFrom: held}
				fmt.Fprintf(&b, "%s%s by %s -> %v\n", from, map[bool]string{true: "(" + string(held) + ")"}[held != ""],
					map[Role]string{System: "system", Owner: "owner", Admin: "admin"}[who], Next(at, who))
			}
		}
	}

	golden.Check(t, "testdata/table.golden", b.String())
}

// heldFrom lists the statuses that an order may have been held from, and only "" unless
// it is held.
func heldFrom(s Status) (list []Status) {
	for _, t := range Transitions {
		if s == OnHold && t.Back {
			list = append(list, t.To)
		}
	}
	if s != OnHold {
		list = []Status{""}
	}
	return list
}

// C9: every status but the first is reached by a transition.
func TestStatusesAreReachable_C9(t *testing.T) {
	t.Parallel()
	for _, s := range All {
		if s != Pending && !slices.ContainsFunc(Transitions, func(t Transition) bool { return t.To == s && !t.Back }) {
			t.Errorf("%s: no row of Transitions leads to it", s)
		}
	}
}

// C9: a status that can be put on hold can be released to, and nothing else can.
func TestHeldStatusesAreReleased_C9(t *testing.T) {
	t.Parallel()
	for _, s := range All {
		if held, back := Check(State{Status: s}, OnHold, System|Admin) == nil, slices.Contains(heldFrom(OnHold), s); held != back {
			t.Errorf("%s: can be put on hold %v, has a row with Back in Transitions %v", s, held, back)
		}
	}
}

// C9, C10: a status has its own event, or a decision that names one. Otherwise no request could
// set it. It also has a name in allowedActions.
func TestStatusesSetByPersonsCanBeEntered_C9(t *testing.T) {
	t.Parallel()
	decided := []Status{Shipped, Completed, OnHold, Cancelled} // by Ship, Complete, Hold, Cancel
	for _, tr := range Transitions {
		if tr.By&Admin == 0 || tr.From == OnHold || tr.From == Failed || slices.Contains(decided, tr.To) {
			continue
		}
		if tr.To.Meaning().Entered == "" {
			t.Errorf("%s -> %s: the row of %s in Statuses needs Entered, the type of its event", tr.From, tr.To, tr.To)
		}
		if tr.To.Meaning().Action == "" {
			t.Errorf("%s -> %s: the row of %s in Statuses needs Action, its name in allowedActions", tr.From, tr.To, tr.To)
		}
	}
}

// C9: the table of the specification is made of Statuses and Transitions.
func TestSpecificationHasTheTable_C9(t *testing.T) {
	t.Parallel()
	const path = "../../../docs/spec.md"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head := "| status | meaning | may become | by |\n|---|---|---|---|\n"
	before, rest, found := strings.Cut(string(raw), head)
	_, after, ends := strings.Cut(rest, "\n\n")
	if !found || !ends {
		t.Fatal("docs/spec.md has no table of statuses")
	}
	golden.Check(t, path, before+head+strings.Join(specRows(), "\n")+"\n\n"+after)
}

func specRows() (rows []string) {
	names := map[Role]string{System: "system", Admin: "administrator", Owner | Admin: "owner, administrator"}
	for _, m := range Statuses {
		cells := [2]string{string(m.Status), m.Doc}
		if m.Final {
			rows = append(rows, fmt.Sprintf("| %s | %s; final | | |", cells[0], cells[1]))
		}
		for _, by := range []Role{System, Admin, Owner | Admin} {
			var next []string
			for _, t := range Transitions {
				if t.From == m.Status && t.By == by && t.Back && !slices.Contains(next, "the previous status") {
					next = append(next, "the previous status")
				} else if t.From == m.Status && t.By == by && !t.Back {
					next = append(next, string(t.To))
				}
			}
			if len(next) > 0 {
				row := fmt.Sprintf("| %s | %s | %s | %s |", cells[0], cells[1], strings.Join(next, ", "), names[by])
				rows = append(rows, strings.ReplaceAll(row, "  ", " "))
				cells = [2]string{}
			}
		}
	}
	return rows
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
