package enrich_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

// infoFails lets questions about info metrics go wrong so often, then answers
// them. Those after the first page left wait for its test.
type infoFails struct {
	asked, times int32
	count        atomic.Int32
	left         chan struct{}
	how          func(*http.Request) (*http.Response, error)
}

func (f *infoFails) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return http.DefaultTransport.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if strings.Contains(string(body), "_info") {
		n := f.count.Add(1)
		if n > f.asked {
			<-f.left
		}
		if n <= f.times {
			return f.how(r)
		}
	}
	return http.DefaultTransport.RoundTrip(r)
}

// A version that only an info metric knows sets the failing apart. While it was
// not read, "nothing in common" would be a lie; it is read when there is time.
func TestNothingInCommonIsNotSaidTooEarly(t *testing.T) {
	const lacking = "A: labels that could tell members apart were not read from main"
	now := time.Unix(1_700_000_000, 0)
	var fleet []enrichtest.Series
	for i := range 20 {
		who := []string{"job", "api", "instance", fmt.Sprint(i)}
		fleet = append(fleet,
			enrichtest.Gauge(now, float64(i%4), append(who, "__name__", "queue_length")...),
			enrichtest.Gauge(now, 1, append(who, "__name__", "api_build_info", "version", fmt.Sprint("v", 41+i%4/3))...))
	}
	fake := enrichtest.New(t, fleet...)
	hang := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	refuse := func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
	inPart := func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(
			`{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["a store is down"]}`))}, nil
	}
	for _, c := range []struct {
		name        string
		how         func(*http.Request) (*http.Response, error)
		times       int32
		within      time.Duration
		first, last string // headlines
		set         func(*thanos.Config)
	}{
		{"whole", nil, 0, time.Minute, "5 of 5 failing share version=v42 (0 % of healthy do)", "", nil},
		{"not configured", nil, 0, time.Minute, "nothing in common: 5 failing, 15 healthy, no label sets them apart", "", func(c *thanos.Config) { c.Info = nil }},
		{"late", hang, 1, time.Minute, "what they share is not known yet", "5 of 5 failing share version=v42 (0 % of healthy do)", nil},
		{"refused", refuse, 1, time.Minute, "what they share is not known yet", "5 of 5 failing share version=v42 (0 % of healthy do)", nil},
		{"in part", inPart, 1, time.Minute, "what they share is not known yet", "5 of 5 failing share version=v42 (0 % of healthy do)", nil},
		{"no time for it", nil, 0, 1400 * time.Millisecond, "what they share is not known yet", "5 of 5 failing share version=v42 (0 % of healthy do)", nil},
		{"never", refuse, 9, time.Minute, "what they share is not known yet", "what they share is not known", nil},
		{"late, and no past is asked for", hang, 1, time.Minute, "what they share is not known yet", "5 of 5 failing share version=v42 (0 % of healthy do)", func(c *thanos.Config) { c.Baselines = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			wire := &infoFails{asked: min(c.times, 1), times: c.times, left: make(chan struct{}), how: c.how}
			if c.last == "" {
				close(wire.left)
			}
			kind := thanos.Kind()
			cfg, ok := kind.Config().(*thanos.Config)
			require.True(t, ok)
			cfg.HTTP = fake.URL
			if c.set != nil {
				c.set(cfg)
			}
			cfg.Info = cfg.Info[min(1, len(cfg.Info)):] // of the targets alone
			roles := enrich.Roles{"deploy": {"version"}}
			// The source's clock stands still until it is asked: a loaded machine has as much time.
			s, err := kind.New(cfg, enrich.Deps{Name: "main", Transport: wire, Roles: roles, Now: func() time.Time { return now }})
			require.NoError(t, err)
			e := enrich.New(enrich.Options{
				Sources: []enrich.Named{{Name: "main", Source: &hurried{s, now.Add(c.within)}}}, Explainer: traits.New(roles),
				Roles: roles, Now: func() time.Time { return now },
			})
			p := problem(alert("A", "critical", "queue_length > 2"))
			p.Context = e.Context(t.Context(), p)
			require.Equal(t, c.first, page.Headline(p.Context), "%v", p.Context.Notes)
			if c.last == "" {
				require.NotContains(t, texts(p.Context.Notes), lacking)
				return
			}
			require.True(t, p.Context.Pending)
			require.Contains(t, texts(p.Context.Notes), lacking)
			require.Equal(t, 5, p.Context.Failing)
			close(wire.left)
			p.Context = e.Context(t.Context(), p)
			require.Equal(t, c.last, page.Headline(p.Context), "%v", p.Context.Notes)
			require.Equal(t, c.name == "never", len(texts(p.Context.Notes)) > 0 && texts(p.Context.Notes)[0] == lacking)
		})
	}
}

// hurried asks a source with a deadline of its own.
type hurried struct {
	enrich.Source
	deadline time.Time
}

func (h *hurried) Table(ctx context.Context, q enrich.Question) (*enrich.Table, error) {
	q.Deadline = h.deadline
	return h.Source.Table(ctx, q)
}

// A store that did not answer may hold those who would have told.
func TestNothingInCommonIsNotSaidOfAPart(t *testing.T) {
	for _, partial := range []bool{false, true} {
		e := enrich.New(enrich.Options{
			Sources: []enrich.Named{{Name: "main", Source: &source{table: func(_ context.Context, q enrich.Question) (*enrich.Table, error) {
				t := at(q)
				t.Partial = partial
				return t, nil
			}}}},
			Explainer: explainer{"A": {None: true, Failing: 5, Healthy: 15}},
		})
		got := e.Context(t.Context(), problem(alert("A", "critical", "queue_length > 2")))
		require.Equal(t, !partial, got.None)
		require.Equal(t, 5, got.Failing)
	}
}
