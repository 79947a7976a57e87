// Package exporters is the frame every exporter of the house stands in: one
// collection for simultaneous scrapes, the scraper's timeout kept, partial
// results marked as such, what each collector costs, and /metrics with TLS,
// basic auth, health and a landing page.
//
// A kind (exporters/netns …) brings Collectors, or Exposers where there are so
// many series that a metric object for each would cost more than reading them.
package exporters

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// Collector is one part of an exporter that can be switched on and off, with
// its own success, duration and CPU time. Gather makes an Exposer of it.
type Collector interface {
	// Name is the word in --collector.<name>, collect[]=<name> and the label
	// `collector`: lower case letters, digits and underscores.
	Name() string
	// Describe sends what Collect may send. It may send nothing: then the
	// metrics are checked only as they come.
	Describe(ch chan<- *prometheus.Desc)
	// Collect sends what there is now. ctx carries the scrape's deadline. It may
	// send partial results and return an error: they are exposed, and the
	// collector is marked as not successful. It is never called twice at once.
	Collect(ctx context.Context, ch chan<- prometheus.Metric) error
}

// Exposer writes its samples straight into the text that is served. It keeps
// the promises of a Collector.
type Exposer interface {
	Name() string
	Expose(ctx context.Context, out *Text) error
}
