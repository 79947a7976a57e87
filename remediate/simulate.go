package remediate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin/tocsin/apps"
	"github.com/tocsin/tocsin/page"
)

// Simulation is what a policy would have done about past pages.
type Simulation struct {
	Policy  string      `json:"policy"`
	Mode    Mode        `json:"mode"`
	Pages   int         `json:"pages"`   // that were looked at
	Matched int         `json:"matched"` // that the policy is about
	Cases   []Simulated `json:"cases"`   // in order of time
}

// Simulated is one target of one page, at the moment at which it would first
// have been judged.
type Simulated struct {
	At      time.Time      `json:"at"`
	Problem string         `json:"problem"`
	Episode int            `json:"episode"`
	Title   string         `json:"title"`
	Target  Target         `json:"target,omitzero"`
	Step    string         `json:"step,omitempty"`
	Mode    Mode           `json:"mode,omitempty"`
	Layered []apps.Setting `json:"layered,omitempty"` // what layers set in the policy for its app
	Ruling  Ruling         `json:"ruling"`
	Unasked []string       `json:"unasked,omitempty"` // guards that could not be asked about the past, and are left out of the ruling
	Why     string         `json:"why,omitempty"`     // it never came to a ruling
}

// Simulate judges what p would have done about past pages, the first step of its
// ladder for each target, as if each launch had cleared its alert after the
// step's whole timeout; byApp is the policy as layers have it. Guards that would
// have to ask others are asked only as far as the page itself answers:
// Alertmanager is taken to have held the page's alerts and no silence, no source
// is asked. Nothing is changed or sent.
func Simulate(ctx context.Context, p *Policy, byApp *Apps, pages []page.Page) Simulation {
	p = p.Filled()
	out := Simulation{Policy: p.Name, Mode: p.Mode, Pages: len(pages), Cases: []Simulated{}}
	var past Past
	for _, c := range replays(p, byApp, pages, &out) {
		c.Past = past
		s := simulated(ctx, c)
		if s.Ruling.Outcome == Pass {
			past.Dispatches = append(past.Dispatches, Trace{
				ID: fmt.Sprintf("simulated-%d", len(past.Dispatches)), Policy: p.Name, Team: p.Team,
				Target: c.Target.ID(), Pool: c.Target.Pool, Problem: c.Page.Problem, Episode: c.Page.Episode,
				Danger: p.DangerOf(c.Step), At: c.Now, Ended: c.Now.Add(c.Step.Timeout.D()), Cleared: true,
			})
		}
		if s.Ruling.Storm != "" {
			if past.Storms == nil {
				past.Storms = map[string]time.Time{}
			}
			past.Storms[s.Ruling.Storm] = c.Now
		}
		out.Cases = append(out.Cases, s)
	}
	slices.SortStableFunc(out.Cases, func(a, b Simulated) int { return a.At.Compare(b.At) })
	return out
}

// replays are the candidates of the pages, by ascending time. What never becomes
// one is noted.
func replays(p *Policy, byApp *Apps, pages []page.Page, out *Simulation) []Candidate {
	var all []Candidate
	if len(p.Steps) == 0 {
		return nil
	}
	for _, past := range pages {
		v := reopened(past)
		if !p.Matches(v) {
			continue
		}
		out.Matched++
		targets, refused := p.Targets(v)
		for _, r := range refused {
			out.Cases = append(out.Cases, Simulated{At: v.Clock.Received, Problem: v.Problem, Episode: v.Episode, Title: v.Title, Why: fmt.Sprintf("%q names no target: %s", r.Value, r.Reason)})
		}
		if len(targets)+len(refused) == 0 {
			out.Cases = append(out.Cases, Simulated{At: v.Clock.Received, Problem: v.Problem, Episode: v.Episode, Title: v.Title, Why: "the page names no target"})
		}
		for _, t := range targets {
			c := Candidate{Attempt: 1, Page: v, Target: t, Now: v.Clock.Received}
			c.alerts = p.AlertsOf(v, t)
			c.Policy = byApp.Of(p, c.alerts)
			c.Step = c.Policy.Steps[0]
			c.Now = latest(v.Clock.Received, joined(c.alerts)).Add(c.Policy.Trigger.FiringFor.D())
			if ended := over(c.alerts, c.Now); ended {
				out.Cases = append(out.Cases, Simulated{At: c.Now, Problem: v.Problem, Episode: v.Episode, Title: v.Title, Target: t, Why: "it was over before " + c.Policy.Trigger.FiringFor.String() + " had passed"})
				continue
			}
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b Candidate) int { return a.Now.Compare(b.Now) })
	return all
}

// reopened is a page as it was while its alerts fired.
func reopened(v page.Page) page.Page {
	v.State = page.Open
	v.Alerts = slices.Clone(v.Alerts)
	for i := range v.Alerts {
		v.Alerts[i].Status = page.Firing
	}
	for _, a := range v.Resolved {
		a.Status = page.Firing
		v.Alerts = append(v.Alerts, a)
	}
	v.Resolved = nil
	return v
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// joined is when the first of the alerts began.
func joined(alerts []page.Alert) time.Time {
	var first time.Time
	for _, a := range alerts {
		if first.IsZero() || a.StartsAt.Before(first) {
			first = a.StartsAt
		}
	}
	return first
}

// over reports whether all alerts had ended by then.
func over(alerts []page.Alert, by time.Time) bool {
	return !slices.ContainsFunc(alerts, func(a page.Alert) bool { return a.EndsAt.IsZero() || a.EndsAt.After(by) })
}

func simulated(ctx context.Context, c Candidate) Simulated {
	s := Simulated{
		At: c.Now, Problem: c.Page.Problem, Episode: c.Page.Episode, Title: c.Page.Title,
		Target: c.Target, Step: c.Step.Name, Mode: c.Policy.ModeOf(c.Step), Layered: c.Policy.Layered,
	}
	all := Decide(ctx, Guards(World{Alertmanager: replayed(c.Page.Alerts)}), c).Verdicts
	asked := make([]Verdict, 0, len(all))
	for _, v := range all {
		if v.Outcome == Blind && slices.Contains([]string{blastRadius{}.Name(), preChecks{}.Name(), proof{}.Name(), zabbix{}.Name()}, v.Guard) {
			s.Unasked = append(s.Unasked, v.Guard)
			continue
		}
		asked = append(asked, v)
	}
	s.Ruling = Rule(asked)
	return s
}

// replayed is an Alertmanager that holds a page's alerts, and no silence.
type replayed []page.Alert

// Active implements Alertmanager.
func (replayed) Active(_ context.Context, _ string, alerts []page.Alert) ([]page.Alert, error) {
	return alerts, nil
}

// Firing implements Alertmanager.
func (r replayed) Firing(_ context.Context, _ string, with page.Labels) ([]page.Alert, error) {
	var out []page.Alert
	for _, a := range r {
		same := true
		for name, value := range with {
			same = same && a.Labels[name] == value
		}
		if same {
			out = append(out, a)
		}
	}
	return out, nil
}

// Silences implements Alertmanager.
func (replayed) Silences(context.Context, string) ([]Silence, error) { return nil, nil }

// Word says in one word what would have come of it.
func (s Simulated) Word() string {
	switch {
	case s.Why != "":
		return "nothing"
	case s.Ruling.Outcome != Pass:
		return string(s.Ruling.Outcome)
	case s.Mode == Approve:
		return "ask"
	case s.Mode == Observe:
		return "say"
	case s.Mode == Check:
		return "check"
	}
	return "run"
}

// ModeText is the mode, and, where a layer set it, by which line.
func (s Simulated) ModeText() string { return modeText(s.Mode, s.Layered) }

// WriteText writes the simulation for people.
func (s Simulation) WriteText(w io.Writer) error {
	counts := map[string]int{}
	for _, c := range s.Cases {
		counts[c.Word()]++
	}
	var sum []string
	for _, word := range []string{"run", "ask", "check", "say", "wait", "deny", "nothing"} {
		if n := counts[word]; n > 0 {
			sum = append(sum, fmt.Sprintf("%d %s", n, word))
		}
	}
	fmt.Fprintf(w, "policy %s in mode %s: %d of %d pages match", shown(s.Policy), s.Mode, s.Matched, s.Pages)
	if len(sum) > 0 {
		fmt.Fprintf(w, ": %s", strings.Join(sum, ", "))
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, c := range s.Cases {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", c.At.UTC().Format(time.DateTime), c.Word(), shown(c.Target.Name), shown(c.Title), c.reason())
	}
	return tw.Flush()
}

// reason is why nothing would have been started, or what was not asked.
func (s Simulated) reason() string {
	if s.Why != "" {
		return shown(s.Why)
	}
	for _, v := range s.Ruling.Verdicts {
		if v.Outcome != Pass {
			return v.Guard + ": " + shown(v.Reason)
		}
	}
	if len(s.Unasked) > 0 {
		return "not asked: " + strings.Join(s.Unasked, ", ")
	}
	return ""
}

// WriteJSON writes the simulation as one JSON document.
func (s Simulation) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(s)
}
