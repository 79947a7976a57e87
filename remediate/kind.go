package remediate

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Kind is a line of the menu: one kind of backend.
type Kind struct {
	Name string
	// Config returns a pointer to the kind's own config section with its
	// defaults set, for the decoder, the schema and the reference.
	Config func() any
	// New builds a backend from what Config returned, decoded and validated. It
	// reads secrets from their files and does not reach out.
	New func(cfg any, d Deps) (Backend, error)
}

// Deps is what the house lends to a backend.
type Deps struct {
	Name      string // the configured name
	Transport http.RoundTripper
	Log       *slog.Logger
	Now       func() time.Time
	Requests  *Requests // nil: nobody counts
}

// Checker is a Backend that can prove its credentials without starting anything.
type Checker interface {
	Check(ctx context.Context) error
}

// Requests measures what backends ask their servers. It outlives a reload of
// the backends.
type Requests struct{ seconds *prometheus.HistogramVec }

// NewRequests registers the measure with reg, which may be nil.
func NewRequests(reg prometheus.Registerer) *Requests {
	return &Requests{seconds: promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
		Name:    "tocsin_remediate_request_duration_seconds",
		Help:    "Time a backend's server took to answer, by the backend's kind and name, what was asked (launch, job, host …) and the status it answered, none without an answer.",
		Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
	}, []string{"kind", "name", "op", "code"})}
}

// Observe counts one request; code is its HTTP status or "none".
func (r *Requests) Observe(kind, name, op, code string, took time.Duration) {
	if r != nil {
		r.seconds.WithLabelValues(kind, name, op, code).Observe(took.Seconds())
	}
}
