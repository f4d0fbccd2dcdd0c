package lifecycle

import "slices"

// action is a command of the API and when it is allowed.
type action struct {
	name    string
	allowed func(o *Order, role Role) bool
}

// actions are the commands of the API. A route exists for every one of them and asks the
// same rules (SPEC C10).
var actions = slices.Concat([]action{{"cancel", leadsTo(Cancelled)}}, statusActions(), []action{
	{"hold", leadsTo(OnHold)},
	{"release", func(o *Order, role Role) bool { return role&Admin != 0 && o.Status.Meaning().Suspended }},
	{"reopen", func(o *Order, role Role) bool {
		_, err := o.Reopen(role, Pending, o.Outstanding())
		return err == nil && o.Status.Meaning().Closed
	}},
	{"refund", func(o *Order, role Role) bool { return role&Admin != 0 && o.Refundable() > 0 }},
	{"delete", func(o *Order, role Role) bool {
		return role&Admin != 0 && (o.Status.Meaning().Closed || leadsTo(Cancelled)(o, role))
	}},
})

// statusActions are the commands that set a status, as the table of meanings names them.
func statusActions() (list []action) {
	for _, m := range Statuses {
		if m.Action != "" {
			list = append(list, action{m.Action, leadsTo(m.Status)})
		}
	}
	return list
}

func leadsTo(to Status) func(*Order, Role) bool {
	return func(o *Order, role Role) bool { return Check(o.State, to, role) == nil }
}

// AllowedActions names the commands that a role may give now; never nil.
func (o *Order) AllowedActions(role Role) []string {
	names := []string{}
	if o.Deleted {
		return names
	}
	for _, a := range actions {
		if a.allowed(o, role) {
			names = append(names, a.name)
		}
	}
	return names
}
