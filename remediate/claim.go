package remediate

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/store"
)

// claimRequest is what a playbook sends as its first task.
type claimRequest struct {
	Job   int64    `json:"awx_job_id"`
	Hosts []string `json:"hosts"` // all it is about to touch
}

// maxClaim is how much of a claim is read.
const maxClaim = 64 << 10

// claimOf is the address of a dispatch's claim, and what opens it; the zero Claim
// where playbooks cannot reach the gateway.
func (e *Engine) claimOf(ctx context.Context, id string) (Claim, error) {
	if e.ClaimURL == "" {
		return Claim{}, nil
	}
	token, err := e.token(ctx, id)
	return Claim{URL: strings.TrimRight(e.ClaimURL, "/") + "/v1/dispatches/" + id + "/claim", Token: config.Secret(token)}, err
}

// token is the HMAC of a dispatch's id by a secret that only the store knows.
func (e *Engine) token(ctx context.Context, id string) (string, error) {
	rec, err := e.Store.Get(ctx, store.ClaimKey)
	if errors.Is(err, store.ErrNotFound) {
		if err = e.Store.Apply(ctx, store.Create(store.ClaimKey, []byte(rand.Text()+rand.Text()))); err == nil || errors.Is(err, store.ErrConflict) {
			rec, err = e.Store.Get(ctx, store.ClaimKey)
		}
	}
	if err != nil {
		return "", fmt.Errorf("read claim key: %w", err)
	}
	mac := hmac.New(sha256.New, rec.Value)
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil)), nil
}

// ServeClaim answers POST /v1/dispatches/{id}/claim: 200 to the first job of a
// dispatch, and whenever that one asks again; 409 to any other, and to one that is
// about to touch something else than its target; 423 where nothing may be touched
// now. A playbook ends at all but 200.
func (e *Engine) ServeClaim(rw http.ResponseWriter, r *http.Request) {
	ctx, id := r.Context(), r.PathValue("id")
	var q claimRequest
	token, err := e.token(ctx, id)
	if err != nil {
		e.answer(rw, http.StatusServiceUnavailable, err.Error())
		return
	}
	given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !hmac.Equal([]byte(given), []byte(token)) {
		e.answer(rw, http.StatusUnauthorized, "this token opens no claim of this dispatch")
		return
	}
	if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, maxClaim)).Decode(&q); err != nil || q.Job <= 0 {
		e.answer(rw, http.StatusBadRequest, "send awx_job_id and hosts as JSON")
		return
	}
	for range conflicts {
		status, why, err := e.claim(ctx, id, q)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			e.Log.Error("answer claim", "dispatch", id, "err", err)
			status, why = http.StatusServiceUnavailable, "the store does not answer"
		}
		e.Metrics.claims.WithLabelValues(fmt.Sprint(status)).Inc()
		e.answer(rw, status, why)
		return
	}
	e.answer(rw, http.StatusServiceUnavailable, "others write this dispatch: ask again")
}

func (e *Engine) answer(rw http.ResponseWriter, status int, why string) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(map[string]any{"go": status == http.StatusOK, "reason": why})
}

// claim gives a dispatch to a job, once.
func (e *Engine) claim(ctx context.Context, id string, q claimRequest) (status int, why string, err error) {
	v, err := read(ctx, e.Store, id)
	if errors.Is(err, store.ErrNotFound) {
		return http.StatusConflict, "no such dispatch", nil
	}
	if err != nil {
		return 0, "", err
	}
	w := &walk{Engine: e, v: v, now: e.Now()}
	limit := ""
	if v.Intent != nil {
		limit = v.Intent.Launch.Limit
	}
	switch {
	case v.Seized == q.Job && v.Stage.launched():
		return http.StatusOK, "claimed by this job already", nil
	case v.Seized != 0:
		return http.StatusConflict, fmt.Sprintf("claimed by job %d", v.Seized), nil
	case v.Stage != Intent && v.Stage != Unknown && v.Stage != Launched:
		return http.StatusLocked, "the dispatch is " + string(v.Stage), nil
	case v.Job != nil && v.Job.ID != q.Job:
		return http.StatusConflict, fmt.Sprintf("its job is %d", v.Job.ID), nil
	case limit != "" && (len(q.Hosts) != 1 || q.Hosts[0] != limit):
		return http.StatusConflict, fmt.Sprintf("it is for %s only", limit), nil
	}
	if why, err := w.locked(ctx); err != nil || why != "" {
		return http.StatusLocked, why, err
	}
	d := v.Dispatch
	d.Seized = q.Job
	reason := fmt.Sprintf("job %d claims it", q.Job)
	noted, err := note(&d, w.now, d.Stage, move{to: d.Stage, reason: reason, actor: fmt.Sprintf("job %d", q.Job)})
	if err != nil {
		return 0, "", err
	}
	value, err := store.Marshal(d)
	if err != nil {
		return 0, "", err
	}
	return http.StatusOK, "claimed", e.Store.Apply(ctx, append(noted, store.Swap(store.DispatchKey(id), v.rev, value))...)
}

// locked says why nothing may be touched now, "" where it may: the alert has
// ended, or a guard that a job cannot itself offend refuses.
func (w *walk) locked(ctx context.Context) (string, error) {
	d := &w.v.Dispatch
	view, firing, why, err := w.fires(ctx)
	if err != nil || !firing {
		return why, err
	}
	_, _, seen, err := w.past(ctx)
	if err != nil {
		return "", err
	}
	if scope, s, frozen := seen.frozen(d.Policy, d.Team); frozen {
		return scope + " is frozen by " + s.By, nil
	}
	pol := w.suited(w.policy(d), view, d.Target)
	if pol == nil {
		return "its policy is no longer configured", nil
	}
	if now := w.mode(pol, d.Step, d.Receiver); now.rank() < d.Mode.rank() {
		return heldBack(now, d.Mode), nil
	}
	if b, open := seen.Breakers[d.Policy]; open {
		return "the breaker is open: " + b.Why, nil
	}
	for _, v := range w.Judge.Ask(ctx, Candidate{Policy: pol, Step: d.Step, Dispatch: d.ID, Attempt: d.Attempt, Page: view, Target: d.Target, Past: without(seen, d.ID), Now: w.now}) {
		if v.Outcome != Pass && standing(v.Guard) {
			return v.Guard + ": " + v.Reason, nil
		}
	}
	return "", nil
}

// without is the past but for one dispatch, which does not stand in its own way.
func without(p Past, id string) Past {
	p.Dispatches = slices.DeleteFunc(slices.Clone(p.Dispatches), func(t Trace) bool { return t.ID == id })
	return p
}

// standing reports whether a guard is about what may have changed since the
// launch by somebody's will, and not about what the launch itself does.
func standing(guard string) bool {
	return slices.Contains([]string{"kill switch", "breaker", "calendar", "silences", "zabbix", "maintenance", "service type"}, guard)
}
