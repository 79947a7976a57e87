package fleet

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// FrontPath is where users reach the fleet: FrontPath + "<dc>/<service>".
const FrontPath = "/front/"

// VersionHeader names the version that served a request.
const VersionHeader = "X-Version"

// Fronts lists where each service is served: pairs of datacentre and service,
// in the order of the targets.
func (f *Fleet) Fronts() [][2]string {
	var out [][2]string
	seen := map[[2]string]bool{}
	for _, t := range f.targets {
		at := [2]string{t.labels["dc"], t.labels["service"]}
		if !seen[at] {
			seen[at] = true
			out = append(out, at)
		}
	}
	return out
}

// front serves one request as a load balancer of a datacentre does: by any of its
// instances of the service, which takes as long, and fails as often, as its
// metrics say. One that is down is a bad gateway.
func (f *Fleet) front(w http.ResponseWriter, r *http.Request, where string) {
	dc, service, _ := strings.Cut(where, "/")
	var behind []*target
	for _, t := range f.targets {
		if t.labels["dc"] == dc && t.labels["service"] == service {
			behind = append(behind, t)
		}
	}
	if len(behind) == 0 {
		http.NotFound(w, r)
		return
	}
	status, took, version := behind[rand.IntN(len(behind))].serve(f.now())
	done := time.NewTimer(took)
	defer done.Stop()
	select {
	case <-r.Context().Done():
		return
	case <-done.C:
	}
	w.Header().Set(VersionHeader, version)
	w.WriteHeader(status)
}

// serve is one request that somebody truly waits for.
func (t *target) serve(now time.Time) (status int, took time.Duration, version string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	if t.cond.down {
		return http.StatusBadGateway, 0, t.version
	}
	i, seconds := t.call()
	status = [codeCount]int{http.StatusOK, http.StatusNotFound, http.StatusInternalServerError}[i]
	return status, time.Duration(seconds * float64(time.Second)), t.version
}
