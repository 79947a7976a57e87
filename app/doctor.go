package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/doctor"
	"github.com/tocsin/tocsin/rules/latency"
)

// DoctorOptions choose what `tocsin doctor` examines. A server is a file of its
// config or the address at which it serves; "" leaves it out.
type DoctorOptions struct {
	Rules             []string // patterns; none: those that Prometheus names
	Prometheus        string
	PrometheusFlags   string // of Prometheus or Thanos Ruler: a file, or the flags themselves
	Alertmanager      string
	AlertmanagerFlags string
	ConfigFile        string // Tocsin's own
	TokenFile         config.SecretFile

	Budgets     map[string]config.Duration // by severity
	Worst       bool                       // hold the worst case against the budget, not the mean
	Level       float64                    // share of events that a fault makes bad, over 0 to 1
	Arrives     time.Duration              // remote write's lag
	FailedSends int
	DeadPeers   int

	Output string // text, json or github
	All    bool   // text: rules of severities without a budget too
}

// ErrOverBudget says that a rule takes longer than its severity may.
var ErrOverBudget = errors.New("over budget")

// Examination is what the doctor found.
type Examination struct {
	Rules    []Forecast `json:"rules"`
	Over     int        `json:"over_budget"`
	Findings []Finding  `json:"findings,omitempty"` // of servers that were asked, and of what they are set to
	Assumed  []string   `json:"assumed"`
}

// Forecast is a rule and whether it is over the budget of its severity.
type Forecast struct {
	doctor.Prediction
	Budget time.Duration `json:"budget_ns,omitempty"`
	Over   time.Duration `json:"over_ns,omitempty"`
}

// Doctor predicts the time to notify of every alerting rule. It returns mistakes
// of the files as they are, ErrOverBudget, or ErrUnreachable.
func Doctor(ctx context.Context, w io.Writer, o DoctorOptions) error {
	x, err := Examine(ctx, o)
	if err != nil {
		return err
	}
	switch o.Output {
	case "json":
		err = x.json(w)
	case "github":
		err = x.github(w)
	default:
		err = x.text(w, o)
	}
	if err != nil {
		return err
	}
	for _, f := range x.Findings {
		if !f.OK {
			err = ErrUnreachable
		}
	}
	if x.Over > 0 {
		err = errors.Join(fmt.Errorf("%w: %d of %d rules", ErrOverBudget, x.Over, len(x.Rules)), err)
	}
	return err
}

// Examine reads everything and predicts. Its error is that of a file that is wrong;
// a server that does not answer is a finding.
func Examine(ctx context.Context, o DoctorOptions) (*Examination, error) {
	d := &diagnosis{options: o, clinic: newClinic(o.TokenFile)}
	p := doctor.Patient{Level: o.Level, Arrives: o.Arrives, FailedSends: o.FailedSends, DeadPeers: o.DeadPeers}
	err := errors.Join(d.prometheus(ctx, &p), d.alertmanager(ctx, &p), d.gateway(&p))
	if err != nil {
		return nil, err
	}
	if err := d.rules(ctx, &p); err != nil {
		return nil, err
	}
	predictions, err := p.Predict()
	if err != nil {
		return nil, err
	}
	x := &Examination{Findings: d.found}
	budgets := doctor.Budgets(o.Budgets)
	for _, one := range predictions {
		r := Forecast{Prediction: one, Budget: budgets[one.Severity].D(), Over: budgets.Over(one, o.Worst)}
		if r.Over > 0 {
			x.Over++
		}
		x.Rules = append(x.Rules, r)
	}
	x.Assumed = assumptions(o, p)
	x.Findings = append(x.Findings, d.advice(p)...)
	x.Findings = append(x.Findings, d.measured(ctx, x)...)
	return x, nil
}

// diagnosis gathers what a prediction is made from.
type diagnosis struct {
	options DoctorOptions
	clinic  *clinic
	found   []Finding
	peers   int // Alertmanagers of the cluster that answered; 0 when none was asked
}

// isAddress tells a server that is asked from a file that is read.
func isAddress(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

func (d *diagnosis) prometheus(ctx context.Context, p *doctor.Patient) error {
	name := d.options.Prometheus
	p.Prometheus = doctor.Defaults("")
	var err error
	switch {
	case name == "":
	case isAddress(name):
		err = d.askPrometheus(ctx, name, p)
	default:
		var data []byte
		if data, err = readServer(name); err == nil {
			p.Prometheus, err = doctor.ReadPrometheus(name, data)
		}
	}
	if err != nil || d.options.PrometheusFlags == "" {
		return err
	}
	file, text, err := flagText(d.options.PrometheusFlags, "--prometheus.flags")
	if err != nil {
		return err
	}
	return p.Prometheus.Flags(file, doctor.ReadFlags(text))
}

func (d *diagnosis) alertmanager(ctx context.Context, p *doctor.Patient) error {
	name := d.options.Alertmanager
	var err error
	switch {
	case name == "":
		return nil
	case isAddress(name):
		p.Routes, err = d.askAlertmanager(ctx, name)
	default:
		var data []byte
		if data, err = readServer(name); err == nil {
			p.Routes, err = doctor.ReadAlertmanager(name, data)
		}
	}
	if err != nil || p.Routes == nil || d.options.AlertmanagerFlags == "" {
		return err
	}
	file, text, err := flagText(d.options.AlertmanagerFlags, "--alertmanager.flags")
	if err != nil {
		return err
	}
	return p.Routes.Flags(file, doctor.ReadFlags(text))
}

// What Tocsin and the services behind it take when all is well: measured in the
// lab (docs/doctor.md); its deadline bounds it.
const gatewayMean = 500 * time.Millisecond

func (d *diagnosis) gateway(p *doctor.Patient) error {
	if d.options.ConfigFile == "" {
		return nil
	}
	plan, err := load(d.options.ConfigFile)
	if err != nil {
		return err
	}
	for _, r := range plan.Receivers {
		p.Receivers = append(p.Receivers, r.Name)
	}
	critical, other := plan.Deadline.Critical.D(), plan.Deadline.Other.D()
	p.Gateway = func(severity string) latency.Span {
		worst := other
		if severity == "critical" {
			worst = critical
		}
		return latency.Span{Mean: min(gatewayMean, worst), Worst: worst}
	}
	return nil
}

// rules reads the files, those of Prometheus when none are named, or asks it.
func (d *diagnosis) rules(ctx context.Context, p *doctor.Patient) error {
	patterns := d.options.Rules
	if len(patterns) == 0 && isAddress(d.options.Prometheus) {
		return d.askRules(ctx, p)
	}
	if len(patterns) == 0 {
		patterns = p.Prometheus.RuleFiles
	}
	if len(patterns) == 0 {
		return &config.Mistake{File: "rules", Text: "name the rule files, or a prometheus.yml that names them: tocsin doctor 'rules/*.yml'"}
	}
	files, err := rules.ReadAll(patterns...)
	p.Files = files
	return err
}

// readServer reads the config of another server.
func readServer(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &config.Mistake{File: path, Text: strings.TrimPrefix(err.Error(), "open "+path+": ")}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, rules.MaxFile+1))
	if err == nil && len(data) > rules.MaxFile {
		err = fmt.Errorf("over %d bytes", rules.MaxFile)
	}
	if err != nil {
		return nil, &config.Mistake{File: path, Text: err.Error()}
	}
	return data, nil
}

// flagText is what stands in a file, or the flags themselves.
func flagText(value, name string) (file, text string, err error) {
	if strings.HasPrefix(strings.TrimSpace(value), "--") {
		return name, value, nil
	}
	data, err := readServer(value)
	return value, string(data), err
}
