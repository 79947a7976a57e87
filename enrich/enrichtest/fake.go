// Package enrichtest holds the rules every metrics source keeps, as a suite of
// tests, and the server that they are tested against: a fake that evaluates
// PromQL for real over series it was given, and answers over HTTP as Prometheus
// does and over gRPC as Thanos Query does.
package enrichtest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
)

// Rule is one rule that the fake knows of: an alerting rule has a Name, a
// recording rule a Record.
type Rule struct {
	Name, Record, Expr string
	Labels             map[string]string
	For                time.Duration
}

// Pending is an alert that a rule of the fake holds back, or that fires.
type Pending struct {
	Labels   map[string]string
	ActiveAt time.Time
	Firing   bool
}

// Trouble is how the fake misbehaves.
type Trouble struct {
	Status  int           // answer with this HTTP status (gRPC: an error)
	Hang    bool          // take the question and never answer
	Endless bool          // never stop answering
	Body    string        // HTTP: answer 200 with exactly this
	Warning string        // say so beside the answer
	Delay   time.Duration // answer only then
}

// Fake is a metrics server.
type Fake struct {
	URL  string // http://…
	GRPC string // host:port

	engine *promql.Engine
	mu     sync.Mutex
	series []Series
	rules  []Rule
	alerts []Pending
	config string // the server's own, YAML; "": it has none to tell
	wrong  Trouble
	asked  []string
	params []map[string][]string
	stop   chan struct{}
}

// New starts a fake over the given series and stops it when the test ends.
func New(t testing.TB, series ...Series) *Fake {
	t.Helper()
	f := &Fake{series: series, stop: make(chan struct{}), engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 },
		Parser:                   parser.NewParser(parser.Options{}),
	})}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/query", f.query)
	mux.HandleFunc("/api/v1/query_range", f.queryRange)
	mux.HandleFunc("/api/v1/query_exemplars", f.queryExemplars)
	mux.HandleFunc("/api/v1/rules", f.listRules)
	mux.HandleFunc("/api/v1/alerts", f.listAlerts)
	mux.HandleFunc("/api/v1/status/config", f.showConfig)
	web := httptest.NewServer(mux)
	f.URL = web.URL

	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f.GRPC = listener.Addr().String()
	server := grpc.NewServer()
	register(server, f)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		close(f.stop) // lets hanging answers go
		server.Stop()
		if err := <-served; !errors.Is(err, grpc.ErrServerStopped) { // it was stopped before it began
			require.NoError(t, err)
		}
		web.CloseClientConnections()
		web.Close()
	})
	return f
}

// Set replaces the series.
func (f *Fake) Set(series ...Series) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.series = series
}

// Know makes the rules API list these rules.
func (f *Fake) Know(rules ...Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = rules
}

// Hold makes the alerts API list these alerts.
func (f *Fake) Hold(alerts ...Pending) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alerts = alerts
}

// Configure makes the server tell a config; without one it has no such page.
func (f *Fake) Configure(yaml string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config = yaml
}

// Misbehave makes all further answers go wrong; the zero Trouble ends that.
func (f *Fake) Misbehave(how Trouble) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrong = how
}

// Asked returns the queries so far, over both protocols.
func (f *Fake) Asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

// Params returns what came with each query over HTTP, or what it means over gRPC.
func (f *Fake) Params() []map[string][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]map[string][]string(nil), f.params...)
}

var errUnknownQuery = errors.New("query")

// evaluate answers an instant query with PromQL's own engine.
func (f *Fake) evaluate(ctx context.Context, query string, at time.Time) (promql.Vector, error) {
	f.mu.Lock()
	s := storageOf(f.series)
	f.mu.Unlock()
	q, err := f.engine.NewInstantQuery(ctx, s, nil, query, at)
	if err != nil {
		return nil, errors.Join(errUnknownQuery, err)
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, res.Err
	}
	v, err := res.Vector()
	if err != nil {
		return nil, errors.Join(errUnknownQuery, err)
	}
	out := make(promql.Vector, len(v))
	copy(out, v) // the engine takes its own back
	return out, nil
}

// take notes a query and returns how to misbehave.
func (f *Fake) take(query string, params map[string][]string) Trouble {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, query)
	f.params = append(f.params, params)
	return f.wrong
}

// pause waits as the trouble says; false is: give up.
func (f *Fake) pause(ctx context.Context, how Trouble) bool {
	if !how.Hang && how.Delay == 0 {
		return true
	}
	var after <-chan time.Time
	if how.Delay > 0 {
		timer := time.NewTimer(how.Delay)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-after:
		return true
	case <-ctx.Done():
	case <-f.stop:
	}
	return false
}

// Series is one time series.
type Series struct {
	Labels    labels.Labels
	Samples   []Sample
	Exemplars []Exemplar
}

// Sample is one value, or one native histogram, at one time.
type Sample struct {
	At        time.Time
	Value     float64
	Histogram *histogram.FloatHistogram
}
