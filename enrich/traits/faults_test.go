package traits_test

import (
	"fmt"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

const seeds = 200

// fault is what happens to a fleet and what must be said of it: want is nil
// where no label may be named.
type fault struct {
	name    string
	perUser bool
	hit     func(row []string) bool
	want    page.Labels
	none    bool
	fires   bool
}

func ratioFaults() []fault {
	column := func(i int, v string) func([]string) bool { return func(row []string) bool { return row[i] == v } }
	all := func([]string) bool { return true }
	return []fault{
		{"bad deploy", false, column(4, "v42"), page.Labels{"deploy": "v42"}, false, true},
		{"bad deploy, by user", true, column(4, "v42"), page.Labels{"deploy": "v42"}, false, true},
		{"bad host", false, column(2, "h3"), page.Labels{"host": "h3"}, false, true},
		{"bad host, by user", true, column(2, "h3"), page.Labels{"host": "h3"}, false, true},
		{"noisy user", true, column(6, "u2"), page.Labels{"user": "u2"}, false, true},
		{"slow datacentre", false, column(1, "dc1"), page.Labels{"dc": "dc1"}, false, true},
		{"slow datacentre, by user", true, column(1, "dc1"), page.Labels{"dc": "dc1"}, false, true},
		{"everything", false, all, nil, true, true},
		{"everything, by user", true, all, nil, true, true},
		{"calm", false, func([]string) bool { return false }, nil, false, false},
		{"calm, by user", true, func([]string) bool { return false }, nil, false, false},
	}
}

func said(got enrich.Finding, want page.Labels) bool {
	if want == nil {
		return len(got.Traits) == 0
	}
	return len(got.Traits) == 1 && holds(got.Traits[0], want)
}

// holds reports whether a trait names the labels, be it as another name of the same rows.
func holds(tr page.Trait, want page.Labels) bool {
	for n, v := range want {
		if tr.Labels[n] == v {
			return true
		}
		for _, a := range tr.Also {
			if a.Name == n && a.Value == v {
				return true
			}
		}
	}
	return false
}

func brief(f enrich.Finding) string {
	s := fmt.Sprintf("none=%v failing=%d healthy=%d scope=%v notes=%v", f.None, f.Failing, f.Healthy, f.Scope, f.Notes)
	for _, tr := range f.Traits {
		s += fmt.Sprintf("\n    %s %d/%d vs %d/%d share %.2f score %.1f also %v", tr.Labels, tr.Failing.Matched, tr.Failing.Total, tr.Healthy.Matched, tr.Healthy.Total, tr.Share, tr.Score, tr.Also)
	}
	return s
}
