package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/doctor"
	"github.com/tocsin/tocsin/rules/latency"
)

// skewed is how far apart clocks may be: startsAt of one machine is compared
// with the time of another.
const skewed = 2 * time.Second

// clinic asks servers.
type clinic struct {
	http  *remote.Client
	token config.SecretFile
}

func newClinic(token config.SecretFile) *clinic {
	return &clinic{http: remote.New(newTransport(), rules.MaxFile), token: token}
}

// get asks one server for JSON and returns how far its clock is ahead of ours.
func (c *clinic) get(ctx context.Context, base, path string, query url.Values, into any) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, connectFor)
	defer cancel()
	address := strings.TrimSuffix(base, "/") + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	if c.token != "" {
		secret, err := c.token.Read()
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer "+secret.Reveal())
	}
	res, err := c.http.Do(req, "GET "+path)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	switch {
	case res.Status == http.StatusUnauthorized || res.Status == http.StatusForbidden:
		return 0, fmt.Errorf("GET %s: status %d: name a file with a token that may read it: --token-file", path, res.Status)
	case res.Status != http.StatusOK:
		return 0, fmt.Errorf("GET %s: status %d", path, res.Status)
	}
	if err := json.Unmarshal(res.Body, into); err != nil {
		return 0, fmt.Errorf("GET %s: %w", path, err)
	}
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		return at.Sub(now.Truncate(time.Second)), nil // it counts whole seconds
	}
	return 0, nil
}

// asked adds what became of asking a server; its clock is judged with it.
func (d *diagnosis) asked(what string, ahead time.Duration, err error, note string) {
	f := Finding{What: what, OK: err == nil, Note: note}
	if err != nil {
		f.Error = err.Error()
	}
	if ahead.Abs() > skewed {
		f.OK, f.Error = false, fmt.Sprintf("its clock differs by %s from this machine's: onsets and latencies are off by as much; run chrony or ntpd", ahead)
	}
	d.found = append(d.found, f)
}

// askPrometheus reads the config and the flags of a Prometheus or Thanos Ruler
// that runs. One that does not answer is a finding, and defaults are assumed.
func (d *diagnosis) askPrometheus(ctx context.Context, base string, p *doctor.Patient) error {
	var status struct {
		Data struct{ YAML string }
	}
	ahead, err := d.clinic.get(ctx, base, "/api/v1/status/config", nil, &status)
	d.asked("prometheus "+base, ahead, err, "")
	if err != nil {
		return nil //nolint:nilerr // it is a finding
	}
	read, err := doctor.ReadPrometheus(base+"/config", []byte(status.Data.YAML))
	if err != nil {
		return err
	}
	p.Prometheus = read
	var flags struct{ Data map[string]string }
	if _, err := d.clinic.get(ctx, base, "/api/v1/status/flags", nil, &flags); err != nil {
		d.asked("prometheus "+base+" flags", 0, err, "")
		return nil
	}
	var list []doctor.Flag
	for _, name := range slices.Sorted(maps.Keys(flags.Data)) {
		list = append(list, doctor.Flag{Name: name, Value: flags.Data[name]})
	}
	return p.Prometheus.Flags(base+"/flags", list)
}

// askAlertmanager reads the route tree and the peers of one that runs.
func (d *diagnosis) askAlertmanager(ctx context.Context, base string) (*doctor.Alertmanager, error) {
	var status struct {
		Config  struct{ Original string }
		Cluster struct {
			Status string
			Peers  []struct{ Name string }
		}
	}
	ahead, err := d.clinic.get(ctx, base, "/api/v2/status", nil, &status)
	note := ""
	if err == nil {
		d.peers = len(status.Cluster.Peers)
		note = fmt.Sprintf("cluster %s, %d peers", status.Cluster.Status, d.peers)
	}
	d.asked("alertmanager "+base, ahead, err, note)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // it is a finding, and no routes are known
	}
	return doctor.ReadAlertmanager(base+"/#/status", []byte(status.Config.Original))
}

// askRules takes the rules from the server that evaluates them, with the time
// that each took.
func (d *diagnosis) askRules(ctx context.Context, p *doctor.Patient) error {
	var answer struct {
		Data struct {
			Groups []struct {
				Name, File string
				Interval   float64
				Rules      []struct {
					Name, Query, Type, State string
					Duration, KeepFiringFor  float64
					EvaluationTime           float64
					Labels, Annotations      map[string]string
				}
			}
		}
	}
	if _, err := d.clinic.get(ctx, d.options.Prometheus, "/api/v1/rules", nil, &answer); err != nil {
		d.asked("rules of "+d.options.Prometheus, 0, err, "")
		return nil
	}
	takes := map[[2]string]time.Duration{}
	var files []rules.File
	for _, g := range answer.Data.Groups {
		if len(files) == 0 || files[len(files)-1].Path != g.File {
			files = append(files, rules.File{Path: filepath.ToSlash(g.File)})
		}
		group, sum := rules.Group{Name: g.Name, Interval: seconds(g.Interval)}, time.Duration(0)
		for _, r := range g.Rules {
			sum += seconds(r.EvaluationTime)
			one := rules.Rule{Expr: r.Query, For: seconds(r.Duration), KeepFiringFor: seconds(r.KeepFiringFor), Labels: r.Labels, Annotations: r.Annotations}
			if _, err := rules.ParseExpr(r.Query); err != nil {
				d.asked("rule "+r.Name, 0, err, "")
				continue
			}
			if r.Type == "alerting" {
				one.Alert = r.Name
				takes[[2]string{g.Name, r.Name}] = sum
			} else {
				one.Record = r.Name
			}
			group.Rules = append(group.Rules, one)
		}
		f := &files[len(files)-1]
		f.Groups = append(f.Groups, group)
	}
	p.Files = files
	p.EvalTakes = func(group, rule string) time.Duration { return takes[[2]string{group, rule}] }
	return nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// advice is what settings cost that no formula has in its mean.
func (d *diagnosis) advice(p doctor.Patient) []Finding {
	var out []Finding
	say := func(what, format string, args ...any) {
		out = append(out, Finding{What: what, OK: true, Note: fmt.Sprintf(format, args...)})
	}
	if r := p.Prometheus.Resend; r.Value > 15*time.Second {
		eval := p.Prometheus.Eval.Value
		cost := latency.Chain{Eval: eval, Resend: r.Value}.ResendCost()
		say(r.Key, "a send that fails is not retried: it costs %s at evaluations each %s; %s → 15s", model.Duration(cost), model.Duration(eval), model.Duration(r.Value))
	}
	if p.Routes == nil {
		return out
	}
	if t := p.Routes.PeerTimeout; d.peers > 1 || !t.Default {
		say(t.Key, "while the first Alertmanager of the cluster is down, every page waits %s longer", model.Duration(t.Value))
	}
	long := map[string]doctor.Setting{}
	for _, w := range p.Routes.Ways(map[string]string{"alertname": "any"}) {
		if w.Interval.Value > time.Minute {
			long[w.Receiver] = w.Interval
		}
	}
	for _, receiver := range slices.Sorted(maps.Keys(long)) {
		s := long[receiver]
		say(fmt.Sprintf("%s:%d group_interval", s.File, s.Line), "a webhook to %s that hangs is given up after %s, and its group tells nobody meanwhile", receiver, model.Duration(s.Value))
	}
	return out
}

// measured holds the prediction against what Tocsin measured, where Prometheus
// scrapes it: over a week, from the rule's firing to the page's acceptance.
func (d *diagnosis) measured(ctx context.Context, x *Examination) []Finding {
	if !isAddress(d.options.Prometheus) {
		return nil
	}
	var out []Finding
	var after latency.Span
	n := 0
	for _, r := range x.Rules {
		if r.Budget == 0 || r.Never {
			continue
		}
		n++
		for _, s := range r.Stages {
			if slices.Contains([]string{latency.StageSend, latency.StageWebhook, latency.StageDelivered}, s.Name) {
				after = after.Plus(s.Span)
			}
		}
	}
	const pages = `tocsin_fault_to_page_seconds_sum{stage="delivered"}[7d]`
	if got, ok := d.number(ctx, `sum(increase(`+pages+`)) / sum(increase(`+strings.Replace(pages, "_sum", "_count", 1)+`))`); ok && n > 0 {
		out = append(out, Finding{What: "measured, firing to page", OK: true, Note: fmt.Sprintf("mean %s over 7d; predicted for the rules with a budget %s (best %s, worst %s)",
			brief(seconds(got)), brief(after.Mean/time.Duration(n)), brief(after.Best/time.Duration(n)), brief(after.Worst/time.Duration(n)))})
	}
	if got, ok := d.number(ctx, `sum(increase(tocsin_canary_seconds_sum[7d])) / sum(increase(tocsin_canary_seconds_count[7d]))`); ok {
		out = append(out, Finding{What: "measured, canary", OK: true, Note: fmt.Sprintf("Tocsin's own part takes %s on average over 7d", brief(seconds(got)))})
	}
	return out
}

// number asks for one number; there is none while nothing was measured.
func (d *diagnosis) number(ctx context.Context, query string) (float64, bool) {
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if _, err := d.clinic.get(ctx, d.options.Prometheus, "/api/v1/query", url.Values{"query": {query}}, &answer); err != nil || len(answer.Data.Result) != 1 {
		return 0, false
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && v == v && v >= 0
}
