package crash

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
)

// Verdict is what the ledgers say about the pages that were accepted.
type Verdict struct {
	Seed     uint64   `json:"seed"`
	Kills    int      `json:"kills"`
	Problems int      `json:"problems"`          // whose firing webhook was answered 2xx
	Ended    int      `json:"ended"`             // whose resolved webhook was too
	Refused  []string `json:"refused,omitempty"` // answered 4xx: Alertmanager would not have tried again

	Slack     Place `json:"slack"`
	PagerDuty Place `json:"pagerduty"`
}

// Place is one service's side of the verdict, by the names of problems.
type Place struct {
	Shown      int      `json:"shown"`    // problems that stand there
	Resolved   int      `json:"resolved"` // of those that ended: told so
	Lost       []string `json:"lost,omitempty"`
	Doubled    []string `json:"doubled,omitempty"`    // twice, and the second did not say so
	Admitted   []string `json:"admitted,omitempty"`   // twice, and the second said "possible repeat"
	Unresolved []string `json:"unresolved,omitempty"` // ended, and still shown as open
}

// Good reports whether nothing was lost, doubled, refused or left open.
func (v Verdict) Good() bool {
	for _, p := range []Place{v.Slack, v.PagerDuty} {
		if len(p.Lost)+len(p.Doubled)+len(p.Unresolved) > 0 {
			return false
		}
	}
	return len(v.Refused) == 0
}

// progress grows while deliveries go on.
func (v Verdict) progress() int {
	return v.Slack.Shown + v.Slack.Resolved + v.PagerDuty.Shown + v.PagerDuty.Resolved
}

// Complete reports whether there is nothing left to wait for.
func (v Verdict) Complete() bool { return v.progress() == 2*(v.Problems+v.Ended) }

// shown counts what one service shows of a problem.
type shown struct{ roots, admitted, open int }

// named finds the problem that a text is about.
const named = `svc-\d{6}`

func judge(problems []problem, slack fakeslack.Ledger, pd fakepagerduty.Ledger) Verdict {
	name := regexp.MustCompile(named)
	inSlack, inPD := map[string]*shown{}, map[string]*shown{}
	at := func(m map[string]*shown, text string) *shown {
		key := name.FindString(text)
		if m[key] == nil {
			m[key] = &shown{}
		}
		return m[key]
	}
	for _, m := range slack.Messages {
		if m.ThreadTS != "" || m.Deleted {
			continue
		}
		s := at(inSlack, m.First.Visible+m.First.Text)
		s.roots++
		if strings.Contains(strings.ToLower(m.First.Visible), "possible repeat") {
			s.admitted++
		}
		if !strings.Contains(strings.ToLower(m.Current.Visible+m.Current.Text), "resolved") {
			s.open++
		}
	}
	for _, in := range pd.Incidents {
		if strings.Contains(in.Title, "Tocsin") {
			continue // about itself; it may quote the title of a page
		}
		s := at(inPD, in.Title+string(in.Details))
		s.roots += max(1, in.Notified)
		if in.Status != "resolved" {
			s.open++
		}
	}
	var v Verdict
	for _, p := range problems {
		if p.refused != "" {
			v.Refused = append(v.Refused, p.name+": "+p.refused)
		}
		if !p.fired {
			continue
		}
		v.Problems++
		if p.resolved {
			v.Ended++
		}
		v.Slack.add(p, inSlack[p.name])
		v.PagerDuty.add(p, inPD[p.name])
	}
	return v
}

func (pl *Place) add(p problem, s *shown) {
	if s == nil {
		pl.Lost = append(pl.Lost, p.name)
		return
	}
	pl.Shown++
	switch {
	case s.roots-s.admitted > 1:
		pl.Doubled = append(pl.Doubled, p.name)
	case s.roots > 1:
		pl.Admitted = append(pl.Admitted, p.name)
	}
	switch {
	case p.resolved && s.open == 0:
		pl.Resolved++
	case p.resolved:
		pl.Unresolved = append(pl.Unresolved, p.name)
	}
}

// String is the verdict as JSON.
func (v Verdict) String() string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}
