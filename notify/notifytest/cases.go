package notifytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

// Cases are the pages whose rendering every kind keeps as a golden file.
func Cases() map[string]page.Page {
	nothing := Page()
	nothing.Traits = []page.Trait{}
	nothing.Impact.Inside = 0
	nothing.Headline = page.Headline(page.Context{None: true, Failing: 40, Healthy: 120})

	unknown := Page()
	unknown.Traits, unknown.Pending = []page.Trait{}, true
	unknown.Impact, unknown.Onset, unknown.Exemplars = nil, nil, nil
	unknown.Headline = page.Headline(page.Context{Pending: true})
	unknown.Clock.Enriched = time.Time{}
	unknown.Notes = []page.Note{{Room: "enrich", Text: "no answer from main within 5s: the context follows as an edit"}}

	partial := Page()
	partial.Notes = []page.Note{{Room: "enrich", Text: "main answered in part: 1 of 3 stores did not respond"}}
	partial.Links = []page.Link{
		{Text: "runbook", URL: "https://wiki.example.org/runbooks/checkout"},
		{Text: "dashboard", URL: "https://grafana.example.org/d/checkout?var-cluster=eu"},
		{Text: "Jaeger 4bf92f35", URL: "https://jaeger.example.org/trace/4bf92f3577b34da6"},
	}

	test := Page()
	test.Test = true
	return map[string]page.Page{
		"firing": Page(), "nothing_in_common": nothing, "not_enriched": unknown,
		"partial": partial, "resolved": Resolved(), "test_page": test,
	}
}

// Golden compares what n renders of each case with testdata/<case>.json, or
// writes the files when UPDATE is set.
func Golden(t *testing.T, n notify.Notifier) {
	for name, p := range Cases() {
		t.Run(name, func(t *testing.T) {
			r := page.Receipt{Delivery: notify.DeliveryID(p.Problem, p.Episode, "test/test")}
			m := notify.Message{Verb: notify.VerbOpen, Page: p, PageURL: "https://tocsin.example.org/page/" + p.Problem}
			if p.State == page.Closed {
				r.Ref, r.Channel, r.First = "1772366595.000001", "C0PAGES", p.Clock.Started.Add(3*time.Second)
				m.Verb = notify.VerbResolve
			}
			m.Receipt = r
			now := p.Clock.Started.Add(3 * time.Second)
			if p.State == page.Closed {
				now = now.Add(5 * time.Minute)
			}
			m.Text = notify.Compose(m, now)
			got, err := n.(notify.Renderer).Render(m)
			require.NoError(t, err)
			var b bytes.Buffer
			require.NoError(t, json.Indent(&b, got, "", "  "))
			b.WriteByte('\n')
			file := filepath.Join("testdata", name+".json")
			if os.Getenv("UPDATE") != "" {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(file, b.Bytes(), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err, "write it with UPDATE=1")
			require.Equal(t, string(want), b.String(), fmt.Sprintf("%s: UPDATE=1 rewrites it", file))
		})
	}
}
