// Package scenario is what goes wrong in the lab: a catalogue of faults, each
// with the trait its page should name, a board that strikes and heals them over
// HTTP, and files that say when.
package scenario

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/lab/fleet"
	"github.com/tocsin/tocsin/lab/ttn"
)

// Kind names a fault of the catalogue.
type Kind string

// The catalogue.
const (
	BadDeploy  Kind = "bad-deploy"  // a new version on a quarter of the instances fails 30 % of its requests
	BadHost    Kind = "bad-host"    // the instances of one host fail 80 % of their requests
	NoisyUser  Kind = "noisy-user"  // one user's requests fail everywhere
	SlowDC     Kind = "slow-dc"     // one data centre answers eight times slower
	TargetDown Kind = "target-down" // all instances of one host refuse their scrapes
	Everything Kind = "everything-bad"
)

// Kinds returns the catalogue in the order in which it is told.
func Kinds() []Kind {
	return []Kind{BadDeploy, BadHost, NoisyUser, SlowDC, TargetDown, Everything}
}

// Names of the lab's alerts.
const (
	AlertErrors  = "HighErrorRate"
	AlertLatency = "HighLatency"
	AlertDown    = "InstanceDown"
)

// Fault is one fault that was struck, or is about to be.
type Fault struct {
	ID        string            `json:"id"`
	Kind      Kind              `json:"fault"`
	Service   string            `json:"service"`
	Alert     string            `json:"alert"`           // alertname of the rule that should fire
	Trait     map[string]string `json:"trait,omitempty"` // what the failing share; nil: nothing in common
	Instances []string          `json:"instances"`       // what it touches
	Symptom   ttn.Symptom       `json:"symptom"`
	Level     float64           `json:"level"` // of the symptom, over the service, 0..1
	Summary   string            `json:"summary"`
	At        time.Time         `json:"at,omitzero"`    // when it took hold
	Until     time.Time         `json:"until,omitzero"` // when it heals by itself

	effect fleet.Effect
}

// Says reports whether a text names the fault's trait as what the failing
// share, or says that they share nothing. The labels must be exactly these: one
// more (AND method=GET), one less, or a longer value (web-10 for web-1) is wrong.
func (f Fault) Says(text string) bool {
	if len(f.Trait) == 0 {
		return strings.Contains(text, "nothing in common")
	}
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "share "+f.Expected())
		if !found {
			return false
		}
		if !strings.HasPrefix(after, " AND ") && !goesOn(after) {
			return true
		}
		rest = after
	}
}

// goesOn reports whether a label value goes on in rest; a full stop ends it
// where it ends a sentence.
func goesOn(rest string) bool {
	if rest == "" || rest == "." || strings.HasPrefix(rest, ". ") || strings.HasPrefix(rest, ".\n") {
		return false
	}
	c := rest[0]
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_-.:", c) >= 0
}

// Expected is the trait in the words of a page.
func (f Fault) Expected() string {
	if len(f.Trait) == 0 {
		return "nothing in common"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(f.Trait)) {
		parts = append(parts, name+"="+f.Trait[name])
	}
	return strings.Join(parts, " AND ")
}

// Draw chooses where a fault strikes inside a service. serial tells faults of
// one run apart; it numbers bad versions.
func Draw(f *fleet.Fleet, kind Kind, service string, serial int, rng *rand.Rand) (Fault, error) {
	if !slices.Contains(f.Services(), service) {
		return Fault{}, fmt.Errorf("service %q is not known: write one of %s", service, strings.Join(f.Services(), ", "))
	}
	members := f.Members(service)
	one := func(label string) string { return members[rng.IntN(len(members))][label] }
	out := Fault{ID: fmt.Sprintf("%s-%d", kind, serial), Kind: kind, Service: service, Alert: AlertErrors, Symptom: ttn.Errors}
	where := map[string]string{"service": service}
	e := fleet.Effect{Where: where}
	switch kind {
	case BadDeploy:
		e.Version, e.Errors = fmt.Sprintf("v%d", 41+serial), 0.3
		e.Instances = sample(members, rng)
		out.Trait = map[string]string{"version": e.Version}
		out.Summary = fmt.Sprintf("%s rolled out to %d of %d %s instances fails 30 %% of its requests", e.Version, len(e.Instances), len(members), service)
	case BadHost:
		where["host"], e.Errors = one("host"), 0.8
		out.Trait = map[string]string{"host": where["host"]}
		out.Summary = fmt.Sprintf("the %s instances on host %s fail 80 %% of their requests", service, where["host"])
	case NoisyUser:
		where["user"], e.Errors = f.Users()[1+rng.IntN(4)], 0.9
		out.Trait = map[string]string{"user": where["user"]}
		out.Summary = fmt.Sprintf("90 %% of the requests of user %s fail on all of %s", where["user"], service)
	case SlowDC:
		where["dc"], e.Latency = one("dc"), 8
		out.Trait = map[string]string{"dc": where["dc"]}
		out.Alert, out.Symptom = AlertLatency, ttn.Latency
		out.Summary = fmt.Sprintf("%s answers 8 times slower in %s", service, where["dc"])
	case TargetDown:
		where["host"], e.Down = one("host"), true
		out.Trait = map[string]string{"host": where["host"]}
		out.Alert, out.Symptom = AlertDown, ttn.Down
		out.Summary = fmt.Sprintf("the %s instances on host %s refuse their scrapes", service, where["host"])
	case Everything:
		e.Errors = 0.12
		out.Summary = fmt.Sprintf("12 %% of all requests to %s fail, wherever they go", service)
	default:
		return Fault{}, unknown(kind)
	}
	out.effect = e
	out.Instances = touched(members, e)
	errors, slow, down := f.Level(service, e, ttn.LatencyBound)
	out.Level = map[ttn.Symptom]float64{ttn.Errors: errors, ttn.Latency: slow, ttn.Down: down}[out.Symptom]
	return out, nil
}

// everywhere makes all that can be wrong wrong where the fault strikes, so that
// alerts of every shape have something to fire for. What is down stays just that.
func (f Fault) everywhere() Fault {
	if f.effect.Down {
		return f
	}
	f.effect.Errors = max(f.effect.Errors, 0.3)
	f.effect.Latency = 8
	f.effect.Full = true
	f.Summary += ", and all else is wrong there too"
	return f
}

func unknown(kind Kind) error {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return fmt.Errorf("fault %q is not known: write one of %s", cmp.Or(string(kind), "-"), strings.Join(names, ", "))
}

// sample takes a quarter of the instances, never all of one host alone.
func sample(members []map[string]string, rng *rand.Rand) []string {
	const stride = 4
	var out []string
	for i := rng.IntN(stride); i < len(members); i += stride {
		out = append(out, members[i]["instance"])
	}
	return out
}

func touched(members []map[string]string, e fleet.Effect) []string {
	var out []string
	for _, m := range members {
		hit := len(e.Instances) == 0 || slices.Contains(e.Instances, m["instance"])
		for name, value := range e.Where {
			hit = hit && (name == "user" || m[name] == value)
		}
		if hit {
			out = append(out, m["instance"])
		}
	}
	return out
}
