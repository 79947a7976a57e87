package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/page"
)

// innocentBefore is how long before a fault an innocent deploy was made.
const innocentBefore = 10 * time.Minute

// announce tells Tocsin of what was deployed around a fault, as a pipeline
// would: an innocent version of the service ten minutes before and, where it is
// a deploy that went wrong, that one.
func (r *Runner) announce(ctx context.Context, f scenario.Fault) error {
	deploys := []page.Change{{
		ID: f.ID + "-innocent", Kind: "deploy", Title: "v40", At: f.At.Add(-innocentBefore),
		Labels: page.Labels{"service": f.Service},
	}}
	if v := f.Trait["version"]; v != "" {
		deploys = append(deploys, page.Change{
			ID: f.ID, Kind: "deploy", Title: v, At: f.At, Labels: page.Labels{"service": f.Service},
		})
	}
	for _, c := range deploys {
		if err := r.post(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) post(ctx context.Context, c page.Change) error {
	token, err := r.World.Secret(r.World.SecretFiles.Alertmanager)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"kind": c.Kind, "title": c.Title, "labels": c.Labels, "at": c.At, "id": c.ID})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.World.Tocsin+"/webhook/changes", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("post change %s: %w", c.ID, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("post change %s: status %s", c.ID, res.Status)
	}
	return nil
}

// Dating is what a page says of when a fault began, beside when it did.
type Dating struct {
	Known    bool          `json:"known"`    // the page has a date
	Off      time.Duration `json:"off_ns"`   // from the fault to what the page says; negative: too early
	Inside   bool          `json:"inside"`   // the fault is inside the interval that the page gives
	Innocent bool          `json:"innocent"` // it blames the deploy of ten minutes before
	Named    bool          `json:"named"`    // it names the deploy that went wrong
}

// String says it in a few words.
func (d Dating) String() string {
	switch {
	case !d.Known:
		return "not dated"
	case d.Innocent:
		return "blames the deploy of ten minutes before"
	}
	return "off by " + d.Off.Round(100*time.Millisecond).String()
}

// dated compares a page with its fault.
func dated(f scenario.Fault, p page.Page) Dating {
	o := p.Onset
	if o == nil {
		return Dating{}
	}
	d := Dating{Known: true, Off: o.At.Sub(f.At), Inside: !f.At.Before(o.From) && !f.At.After(o.To)}
	if c := o.After; c != nil {
		d.Innocent = c.Title == "v40"
		d.Named = f.Trait["version"] != "" && c.Title == f.Trait["version"]
	}
	return d
}

// Date waits until the page of a delivered fault says when it began. A page
// that does not by the end of ctx is a result, not an error.
func (r *Runner) Date(ctx context.Context, o *Outcome) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		if p, ok := r.page(ctx, o); ok {
			if o.Dating = dated(o.Fault, p); o.Dating.Known {
				o.Page = p
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
