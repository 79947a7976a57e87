package page

// Veil hides the values of labels that must not leave the house, before any
// text is made of them. The zero Veil hides nothing.
type Veil struct {
	labels []string
	hide   func(string) string
}

// Veil hides what p knows of these labels' values.
func (p Problem) Veil(labels ...string) Veil {
	if len(labels) == 0 {
		return Veil{}
	}
	v := Page{Traits: p.Context.Traits, Scope: p.Context.Scope, Changes: p.Context.Changes, Exemplars: p.Context.Exemplars}
	v.Alerts = append(make([]Alert, 0, len(p.Members)+1), Alert{Labels: p.Group.GroupLabels})
	for _, m := range p.Members {
		v.Alerts = append(v.Alerts, m.Alert)
	}
	return Veil{labels: labels, hide: hider(v.valuesOf(labels))}
}

// Labels returns the set without the hidden values.
func (v Veil) Labels(l Labels) Labels {
	if v.hide == nil {
		return l
	}
	return hideLabels(l, v.labels, v.hide)
}

// Alerts returns the alerts without the hidden values.
func (v Veil) Alerts(alerts []Alert) []Alert {
	if v.hide == nil {
		return alerts
	}
	return hideAlerts(alerts, v.labels, v.hide)
}

// Text returns a text without the hidden values.
func (v Veil) Text(s string) string {
	if v.hide == nil {
		return s
	}
	return v.hide(s)
}
