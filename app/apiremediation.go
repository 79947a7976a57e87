package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/web"
	"github.com/tocsin/tocsin/webhook"
)

// Dispatched is a dispatch with its journal, as GET /api/v1/dispatches/{id} answers it.
type Dispatched struct {
	remediate.Dispatch
	Journal []remediate.Line `json:"journal"`
	Whole   bool             `json:"journal_whole"` // nothing of it was changed or left out
}

// Switches is what GET /api/v1/switches answers.
type Switches struct {
	Switches map[string]remediate.Switch  `json:"switches"`
	Breakers map[string]remediate.Breaker `json:"breakers"`
	Policies []PolicyState                `json:"policies"`
}

// PolicyState is one policy that receivers name.
type PolicyState struct {
	Name      string   `json:"name"`
	Team      string   `json:"team"`
	Mode      string   `json:"mode"`
	Danger    string   `json:"danger"`
	Receivers []string `json:"receivers"`
}

// mostDispatches is how many one answer lists: the newest.
const mostDispatches = 500

// dispatches answers those that are not over, newest first; ?state=all adds the others.
func (a *api) dispatches(w http.ResponseWriter, r *http.Request) {
	all := r.URL.Query().Get("state") == "all"
	out := []remediate.Dispatch{}
	var since time.Time
	if !all {
		since = a.acts.Now().Add(-remediate.Lately)
	}
	err := remediate.Each(r.Context(), a.store, since, func(d remediate.Dispatch) error {
		if all || !d.Stage.Over() {
			out = append(out, a.veiled(d))
		}
		return nil
	})
	if err != nil {
		a.fail(w, http.StatusServiceUnavailable, err)
		return
	}
	slices.SortStableFunc(out, func(x, y remediate.Dispatch) int { return cmp.Or(y.Made.Compare(x.Made), cmp.Compare(x.ID, y.ID)) })
	writeJSON(w, http.StatusOK, out[:min(len(out), mostDispatches)])
}

// veiled is a dispatch without the variables of its launch, which may hold values
// that leave the house only for the backend.
func (a *api) veiled(d remediate.Dispatch) remediate.Dispatch {
	if d.Intent != nil && len(a.redact()) > 0 {
		order := *d.Intent
		order.Launch.Variables = nil
		d.Intent = &order
	}
	return d
}

// dispatch answers one with its journal.
func (a *api) dispatch(w http.ResponseWriter, r *http.Request) {
	ctx, id := r.Context(), r.PathValue("id")
	d, err := remediate.Read(ctx, a.store, id)
	if errors.Is(err, store.ErrNotFound) {
		a.fail(w, http.StatusNotFound, errors.New("no dispatch has this id"))
		return
	}
	var lines []remediate.Line
	if err == nil {
		lines, err = a.journal(ctx, id)
	}
	if err != nil {
		a.fail(w, http.StatusServiceUnavailable, err)
		return
	}
	writeJSON(w, http.StatusOK, Dispatched{Dispatch: a.veiled(d), Journal: lines, Whole: remediate.CheckJournal(lines, d.Lines, d.Head) == nil})
}

func (a *api) journal(ctx context.Context, id string) ([]remediate.Line, error) {
	lines, after := []remediate.Line{}, ""
	for {
		recs, err := a.store.Scan(ctx, store.JournalPrefix(id), after, scanned)
		if err != nil {
			return nil, err
		}
		for _, rec := range recs {
			var l remediate.Line
			if err := store.Unmarshal(rec.Value, &l); err != nil {
				return nil, err
			}
			lines, after = append(lines, l), rec.Key
		}
		if len(recs) < scanned {
			return lines, nil
		}
	}
}

// decision is the body of POST /api/v1/dispatches/{id}/decisions.
type decision struct {
	Verb page.Verb `json:"verb"` // approve, deny
	ID   string    `json:"id"`   // idempotency key
}

// decide hands in what an operator says of a dispatch that asks. What comes of it
// stands on its page.
func (a *api) decide(w http.ResponseWriter, r *http.Request, who web.Operator) {
	var q decision
	if err := readJSON(w, r, &q); err != nil {
		a.fail(w, http.StatusBadRequest, err)
		return
	}
	d, err := remediate.Read(r.Context(), a.store, r.PathValue("id"))
	now := a.acts.Now()
	switch {
	case errors.Is(err, store.ErrNotFound):
		a.fail(w, http.StatusNotFound, errors.New("no dispatch has this id"))
	case err != nil:
		a.fail(w, http.StatusServiceUnavailable, err)
	case q.Verb != page.ApproveIt && q.Verb != page.DenyIt:
		a.fail(w, http.StatusBadRequest, errors.New("verb: write approve or deny"))
	case d.Stage != remediate.Awaiting || !now.Before(d.Expires):
		a.fail(w, http.StatusConflict, fmt.Errorf("nobody is asked: the dispatch is %s (%s)", d.Stage, page.OneLine(d.Reason)))
	case !page.Run{Roles: d.Roles}.Decided(q.Verb, page.RoleOperator):
		a.fail(w, http.StatusForbidden, fmt.Errorf("its policy asks people who are %s", strings.Join(d.Roles, " or ")))
	default:
		e := page.Event{
			Problem: d.Problem, Episode: d.Episode, Kind: page.Acted, Actor: "operator/" + who.Name, At: now,
			ID:  "decision/" + d.ID + "/" + who.Name + "/" + cmp.Or(q.ID, rand.Text()),
			Act: &page.Act{Verb: q.Verb, By: "operator " + who.Name, Dispatch: d.ID},
		}
		if err := (&webhook.Door{Store: a.store}).Once(r.Context(), e); err != nil {
			a.fail(w, http.StatusServiceUnavailable, err)
			return
		}
		a.log.Info("operator decides", "dispatch", d.ID, "operator", who.Name, "verb", q.Verb)
		writeJSON(w, http.StatusAccepted, map[string]string{"event": e.ID})
	}
}

// switches answers what is frozen, which breakers are open, and the policies.
func (h *house) serveSwitches(w http.ResponseWriter, r *http.Request) {
	l, _, err := remediate.ReadLedger(r.Context(), h.store)
	if err != nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": err.Error()})
		return
	}
	out := Switches{Switches: map[string]remediate.Switch{}, Breakers: map[string]remediate.Breaker{}, Policies: []PolicyState{}}
	maps.Copy(out.Switches, l.Switches)
	maps.Copy(out.Breakers, l.Breakers)
	b := h.rooms.Load().parts
	if frozen := killFile(b.plan.Remediation.KillFile); frozen != nil {
		if s, is := frozen(); is {
			out.Switches[remediate.ScopeGlobal] = s
		}
	}
	for _, p := range b.plan.policies {
		s := PolicyState{Name: p.Name, Team: p.Team, Mode: string(p.Mode), Danger: string(p.Danger), Receivers: []string{}}
		for _, r := range b.plan.Receivers {
			if slices.Contains(r.Remediate, p.Name) {
				s.Receivers = append(s.Receivers, r.Name)
			}
		}
		out.Policies = append(out.Policies, s)
	}
	writeJSON(w, http.StatusOK, out)
}

// flip is the body of POST /api/v1/switches.
type flip struct {
	Do    string `json:"do"`    // freeze, thaw, reset
	Scope string `json:"scope"` // global, team/NAME, policy/NAME; reset: the policy's name
	Why   string `json:"why"`
}

// serveFlip freezes, thaws, or resets a breaker.
func (h *house) serveFlip(w http.ResponseWriter, r *http.Request, who web.Operator) {
	var q flip
	fail := func(status int, err error) { writeJSON(w, status, map[string]string{"error": err.Error()}) }
	if err := readJSON(w, r, &q); err != nil {
		fail(http.StatusBadRequest, err)
		return
	}
	if err := h.flippable(q); err != nil {
		fail(http.StatusBadRequest, err)
		return
	}
	changed, err := remediate.Throw(r.Context(), h.store, remediate.Flip{
		Do: q.Do, Scope: q.Scope, By: "operator " + who.Name, Why: page.OneLine(q.Why),
	}, h.lent.now())
	if err != nil {
		fail(http.StatusServiceUnavailable, err)
		return
	}
	h.options.Log.Info("operator throws a switch", "operator", who.Name, "do", q.Do, "scope", q.Scope, "changed", changed)
	writeJSON(w, http.StatusOK, map[string]bool{"changed": changed})
}

// flippable refuses what names nothing: a freeze of a policy that is spelt wrongly
// stops nothing, and must not look as if it did.
func (h *house) flippable(q flip) error {
	p := h.rooms.Load().parts.plan
	name := strings.TrimPrefix(q.Scope, "policy/")
	team, isTeam := strings.CutPrefix(q.Scope, "team/")
	switch {
	case !slices.Contains([]string{"freeze", "thaw", "reset"}, q.Do):
		return errors.New("do: write freeze, thaw or reset")
	case q.Do != "freeze": // what is configured no more can still be thawed
		return nil
	case q.Scope == remediate.ScopeGlobal:
	case isTeam:
		for _, pol := range p.policies {
			if pol.Team == team {
				return nil
			}
		}
		return fmt.Errorf("scope: no policy is of team %q", team)
	case name == q.Scope || p.policyOf(name) == nil:
		return fmt.Errorf("scope: write global, team/NAME or policy/NAME; %q is none that is configured", q.Scope)
	}
	return nil
}

// claim answers a playbook with the engine of the generation that serves now.
func (h *house) claim(w http.ResponseWriter, r *http.Request) {
	engine := h.rooms.Load().engine
	if engine == nil {
		http.Error(w, "nothing acts here", http.StatusNotFound)
		return
	}
	engine.ServeClaim(w, r)
}
