package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/lab/fleet"
)

// Board strikes and heals faults. Its handler speaks JSON:
//
//	POST   /fault        {"fault": "bad-deploy", "service": "cart", "for": "2m"}
//	GET    /fault        the faults in force
//	DELETE /fault/{id}   heals one
//	DELETE /fault        heals all
type Board struct {
	fleet *fleet.Fleet
	mux   *http.ServeMux

	mu     sync.Mutex
	rng    *rand.Rand
	serial int
	active map[string]struck
}

type struck struct {
	Fault
	timer *time.Timer
}

// NewBoard returns a board without faults. The seed decides where they strike.
func NewBoard(f *fleet.Fleet, seed uint64) *Board {
	b := &Board{fleet: f, mux: http.NewServeMux(), rng: rand.New(rand.NewPCG(seed, 1)), active: map[string]struck{}}
	b.mux.HandleFunc("POST /fault", b.post)
	b.mux.HandleFunc("GET /fault", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, b.Active()) })
	b.mux.HandleFunc("DELETE /fault/{id}", b.delete)
	b.mux.HandleFunc("DELETE /fault", b.delete)
	return b
}

// ServeHTTP serves the board.
func (b *Board) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.mux.ServeHTTP(w, r) }

// Strike draws a fault and puts it in force, for good or for a while. No
// service means the fleet's first.
func (b *Board) Strike(kind Kind, service string, lasts time.Duration) (Fault, error) {
	return b.strike(kind, service, lasts, func(f Fault) Fault { return f })
}

// Sicken strikes like Strike, for good: at the place of the fault requests fail
// and are slow, queues, pools and disks are full, workers restart and sessions end.
func (b *Board) Sicken(kind Kind, service string) (Fault, error) {
	return b.strike(kind, service, 0, Fault.everywhere)
}

func (b *Board) strike(kind Kind, service string, lasts time.Duration, as func(Fault) Fault) (Fault, error) {
	if service == "" {
		service = b.fleet.Services()[0]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f, err := Draw(b.fleet, kind, service, b.serial+1, b.rng)
	if err != nil {
		return Fault{}, err
	}
	b.serial++
	f = as(f)
	f.At = b.fleet.Apply(f.ID, f.effect)
	s := struck{Fault: f}
	if lasts > 0 {
		s.Until = f.At.Add(lasts)
		s.timer = time.AfterFunc(lasts, func() { b.Heal(f.ID) })
	}
	b.active[f.ID] = s
	return s.Fault, nil
}

// Heal ends a fault and reports whether it was in force.
func (b *Board) Heal(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.active[id]
	if !ok {
		return false
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	b.fleet.Remove(id)
	delete(b.active, id)
	return true
}

// Active returns the faults in force, oldest first.
func (b *Board) Active() []Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []Fault{}
	for _, s := range b.active {
		out = append(out, s.Fault)
	}
	slices.SortFunc(out, func(a, b Fault) int { return a.At.Compare(b.At) })
	return out
}

// Run plays a scenario, telling each fault as it strikes, until the last step
// was struck or ctx ends.
func (b *Board) Run(ctx context.Context, steps Steps, tell func(Fault)) error {
	begin := time.Now()
	for _, s := range steps {
		wait := time.NewTimer(time.Until(begin.Add(s.At.D())))
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		}
		f, err := b.Strike(s.Fault, s.Service, s.For.D())
		if err != nil {
			return err
		}
		tell(f)
	}
	return nil
}

// Request is the body of POST /fault.
type Request struct {
	Fault   Kind   `json:"fault"`
	Service string `json:"service,omitempty"`
	For     string `json:"for,omitempty"` // 30s, 2m; "": until it is healed
}

func (b *Board) post(w http.ResponseWriter, r *http.Request) {
	var req Request
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": fmt.Sprintf("body: %v", err)})
		return
	}
	var lasts model.Duration
	if req.For != "" {
		var err error
		if lasts, err = model.ParseDuration(req.For); err != nil {
			answer(w, http.StatusBadRequest, map[string]string{"error": fmt.Sprintf("for: %q is not a duration: write it as 30s or 2m", req.For)})
			return
		}
	}
	f, err := b.Strike(req.Fault, req.Service, time.Duration(lasts))
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	answer(w, http.StatusCreated, f)
}

func (b *Board) delete(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if id == "" {
		for _, f := range b.Active() {
			b.Heal(f.ID)
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if !b.Heal(id) {
		ids := slices.Sorted(maps.Keys(b.ids()))
		answer(w, http.StatusNotFound, map[string]string{
			"error": fmt.Sprintf("fault %q is not in force; in force: %s", id, strings.Join(ids, ", ")),
		})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (b *Board) ids() map[string]bool {
	out := map[string]bool{}
	for _, f := range b.Active() {
		out[f.ID] = true
	}
	return out
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a caller that went away needs no answer
}
