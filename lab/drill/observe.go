package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/page"
)

// observe asks the servers for the stages that pass while one looks. A server
// that does not answer is asked again on the next turn.
func (r *Runner) observe(ctx context.Context, o *Outcome) {
	seen := func(stage string) bool { _, ok := o.Times[stage]; return ok }
	if !seen(ttn.StageScrape) {
		r.readScrape(ctx, o)
	}
	switch {
	case !seen(ttn.StageRule):
		r.pass(o, ttn.StageRule, r.activeAt(ctx, o))
	case !seen(ttn.StageSend):
		r.pass(o, ttn.StageSend, r.receivedAt(ctx, o))
	case !seen(ttn.StageEnriched):
		r.readPage(ctx, o)
	}
}

// activeAt is when the first replica's rule found its condition true.
func (r *Runner) activeAt(ctx context.Context, o *Outcome) time.Time {
	var first time.Time
	for _, addr := range r.World.Prometheus {
		var answer struct {
			Data struct {
				Alerts []struct {
					Labels   map[string]string `json:"labels"`
					ActiveAt time.Time         `json:"activeAt"`
				} `json:"alerts"`
			} `json:"data"`
		}
		if r.get(ctx, "http://"+addr+"/api/v1/alerts", "", &answer) != nil {
			continue
		}
		for _, a := range answer.Data.Alerts {
			if a.Labels["alertname"] == o.Fault.Alert && a.Labels["service"] == o.Fault.Service && !a.ActiveAt.Before(o.Fault.At) {
				first = earlier(first, a.ActiveAt)
			}
		}
	}
	return first
}

// receivedAt is when the first Alertmanager had the alert.
func (r *Runner) receivedAt(ctx context.Context, o *Outcome) time.Time {
	var first time.Time
	query := url.Values{"filter": {
		fmt.Sprintf("alertname=%q", o.Fault.Alert), fmt.Sprintf("service=%q", o.Fault.Service),
	}}
	for _, addr := range r.World.Alertmanagers {
		var alerts []struct {
			UpdatedAt time.Time `json:"updatedAt"`
		}
		if r.get(ctx, "http://"+addr+"/api/v2/alerts?"+query.Encode(), "", &alerts) != nil {
			continue
		}
		for _, a := range alerts {
			if !a.UpdatedAt.Before(o.Fault.At) {
				first = earlier(first, a.UpdatedAt)
			}
		}
	}
	return first
}

// earlier is the earlier of two times; a zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// readScrape finds the first scrape of a touched instance at or after the fault:
// the first that could show it. Its time is the sample's.
func (r *Runner) readScrape(ctx context.Context, o *Outcome) {
	age := time.Since(o.Fault.At).Round(time.Second) + 5*time.Second
	query := url.Values{"query": {fmt.Sprintf("up{service=%q}[%ds]", o.Fault.Service, int(age.Seconds()))}}
	var first time.Time
	for _, addr := range r.World.Prometheus {
		var answer struct {
			Data struct {
				Result []struct {
					Metric map[string]string `json:"metric"`
					Values [][2]any          `json:"values"`
				} `json:"result"`
			} `json:"data"`
		}
		if r.get(ctx, "http://"+addr+"/api/v1/query?"+query.Encode(), "", &answer) != nil {
			continue
		}
		for _, series := range answer.Data.Result {
			if !slices.Contains(o.Fault.Instances, series.Metric["instance"]) {
				continue
			}
			for _, v := range series.Values {
				sec, _ := v[0].(float64)
				at := time.UnixMilli(int64(sec * 1000))
				if !at.Before(o.Fault.At) {
					first = earlier(first, at)
				}
			}
		}
	}
	r.pass(o, ttn.StageScrape, first)
}

// readPage takes the stages inside Tocsin from its own clock.
func (r *Runner) readPage(ctx context.Context, o *Outcome) {
	p, ok := r.page(ctx, o)
	if !ok {
		return
	}
	o.Page = p
	r.pass(o, ttn.StageFor, p.Clock.Started)
	r.pass(o, ttn.StageWebhook, p.Clock.Received)
	r.pass(o, ttn.StageDurable, p.Clock.Durable)
	r.pass(o, ttn.StageEnriched, p.Clock.Enriched)
}

// Pages reads the open pages, or all there are ("all").
func (r *Runner) Pages(ctx context.Context, state string) ([]page.Page, error) {
	token, err := r.World.Secret(r.World.SecretFiles.Operator)
	if err != nil {
		return nil, err
	}
	var out []page.Page
	err = r.get(ctx, "http://"+r.World.Operators+"/api/v1/pages?state="+state, token, &out)
	return out, err
}

// page finds the page about the fault.
func (r *Runner) page(ctx context.Context, o *Outcome) (page.Page, bool) {
	pages, err := r.Pages(ctx, "all")
	if err != nil {
		return page.Page{}, false
	}
	for _, p := range pages {
		if p.Clock.Received.Before(o.Fault.At) {
			continue
		}
		for _, a := range p.Alerts {
			if a.Name() == o.Fault.Alert && a.Labels["service"] == o.Fault.Service {
				return p, true
			}
		}
	}
	return page.Page{}, false
}

// get reads a JSON answer of at most 64 MB.
func (r *Runner) get(ctx context.Context, address, token string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %s", strings.TrimPrefix(req.URL.Path, "/"), res.Status)
	}
	return json.NewDecoder(io.LimitReader(res.Body, 64<<20)).Decode(into)
}
