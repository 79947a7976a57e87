package contest

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Tally is what one side's services saw of a round.
type Tally struct {
	Side      string `json:"side"`
	Slack     Score  `json:"slack"`
	PagerDuty Score  `json:"pagerduty"`
}

// Score is how one service was told.
type Score struct {
	Problems int           `json:"problems"`
	Lost     int           `json:"lost"`     // nobody was told that it fires, though it fired for its whole life
	Doubled  int           `json:"doubled"`  // told as new more than once; in PagerDuty: paged more than once
	Admitted int           `json:"admitted"` // of those: the second says that it may be a repeat
	Open     int           `json:"open"`     // its end was not told (yet: an Alertmanager that is killed forgets what resolved meanwhile)
	P50      time.Duration `json:"p50_ns"`   // from the moment at which it fired to the first message
	P99      time.Duration `json:"p99_ns"`
	Max      time.Duration `json:"max_ns"`
}

// seen is one service's view of one problem.
type seen struct {
	opened, admitted int
	first            time.Time
	ended            bool
}

func (s *Side) tally(problems []problem) Tally {
	return Tally{Side: s.Name, Slack: s.score(problems, s.inSlack()), PagerDuty: s.score(problems, s.inPagerDuty())}
}

func serviceIn(text string) string { return regexp.MustCompile(`svc-\d{6}`).FindString(text) }

// inSlack reads the roots of the channel. Alertmanager writes a message of its
// own for every state; Tocsin's becomes the resolved one.
func (s *Side) inSlack() map[string]*seen {
	out := map[string]*seen{}
	for _, m := range s.Slack.Ledger().Messages {
		if m.ThreadTS != "" {
			continue
		}
		first, now := strings.ToLower(m.First.Visible+m.First.Text), strings.ToLower(m.Current.Visible+m.Current.Text)
		v := viewOf(out, serviceIn(first))
		if strings.Contains(now, "resolved") {
			v.ended = true
		}
		if strings.Contains(first, "[resolved]") {
			continue
		}
		v.tell(m.Accepted)
		if strings.Contains(first, "possible repeat") {
			v.admitted++
		}
	}
	return out
}

func (s *Side) inPagerDuty() map[string]*seen {
	out := map[string]*seen{}
	ledger := s.PagerDuty.Ledger()
	for _, in := range ledger.Incidents {
		v := viewOf(out, serviceIn(in.Title))
		for range in.Notified {
			v.tell(in.Accepted)
		}
		v.ended = in.Status == "resolved"
	}
	return out
}

func viewOf(in map[string]*seen, service string) *seen {
	if in[service] == nil {
		in[service] = &seen{}
	}
	return in[service]
}

func (v *seen) tell(at time.Time) {
	v.opened++
	if v.first.IsZero() || at.Before(v.first) {
		v.first = at
	}
}

func (s *Side) score(problems []problem, view map[string]*seen) Score {
	out := Score{Problems: len(problems)}
	var took []time.Duration
	for _, p := range problems {
		v := view[p.service]
		if v == nil || v.opened == 0 {
			out.Lost++
			continue
		}
		if v.opened > 1 {
			out.Doubled++
		}
		if v.admitted > 0 {
			out.Admitted++
		}
		if !v.ended {
			out.Open++
		}
		took = append(took, max(0, v.first.Sub(s.began.Add(p.from))))
	}
	slices.Sort(took)
	at := func(q float64) time.Duration {
		if len(took) == 0 {
			return 0
		}
		return took[int(q*float64(len(took)-1))]
	}
	out.P50, out.P99, out.Max = at(0.5), at(0.99), at(1)
	return out
}

// settle waits until everything was told, or nothing more is to be hoped for.
func (s *Side) settle(ctx context.Context, problems []problem, drain time.Duration) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(drain); time.Now().Before(end); {
		t := s.tally(problems)
		if t.Slack.Lost+t.PagerDuty.Lost+t.Slack.Open+t.PagerDuty.Open == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
