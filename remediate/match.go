package remediate

import (
	"fmt"
	"strings"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin/tocsin/page"
)

// matchers are those of a policy, all of which must hold.
type matchers labels.Matchers

// compile reads matchers as Alertmanager does. None at all match nothing.
func compile(texts []string) (matchers, error) {
	if len(texts) == 0 {
		return nil, fmt.Errorf("match: there is no matcher")
	}
	out := make(matchers, 0, len(texts))
	for _, text := range texts {
		m, err := parse.Matcher(text)
		if err != nil {
			return nil, fmt.Errorf("match: %w", err)
		}
		out = append(out, m)
	}
	return out, nil
}

// holds reports whether an alert fires, is not one of Tocsin's own, and matches.
func (ms matchers) holds(a page.Alert) bool {
	if a.Status != page.Firing || own(a.Name()) {
		return false
	}
	return matching(labels.Matchers(ms), a.Labels)
}

// own reports whether an alert is about Tocsin: it does not treat itself.
func own(alertname string) bool { return strings.HasPrefix(strings.ToLower(alertname), "tocsin") }

// matching reports whether all matchers hold of a label set; a label that is
// not there is empty, as Alertmanager has it.
func matching(ms labels.Matchers, set page.Labels) bool {
	for _, m := range ms {
		if !m.Matches(set[m.Name]) {
			return false
		}
	}
	return true
}
