package lifecycle

// actions are the commands of the API and when each is allowed. A route exists
// for every one of them and asks the same rules (SPEC C10).
var actions = []struct {
	name    string
	allowed func(o *Order, role Role) bool
}{
	{"cancel", leadsTo(Cancelled)},
	{"ship", leadsTo(Shipped)},
	{"complete", leadsTo(Completed)},
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
