package contest

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/world"
)

// Side is one way from an alert to people, with services of its own.
type Side struct {
	Name      string
	Slack     *fakeslack.Fake
	PagerDuty *fakepagerduty.Fake

	alertmanager string
	programs     []*world.Process // on the way, the first is Alertmanager
	servers      []*http.Server
	client       *http.Client
	began        time.Time
}

func nameOf(through bool) string {
	if through {
		return "through-tocsin"
	}
	return "alertmanager-alone"
}

//go:embed templates
var templates embed.FS

// places is what the config files are made from.
type places struct {
	Slack, PagerDuty, Alertmanager, Tocsin, Operators string
	SlackToken, PagerDutyKey                          string
}

func newSide(ctx context.Context, dir string, through bool, paths map[string]string, seed uint64) (*Side, error) {
	s := &Side{
		Name: nameOf(through), client: newClient(),
		Slack:     fakeslack.New(fakeslack.Options{Seed: seed}), // with the limits of the real ones
		PagerDuty: fakepagerduty.New(fakepagerduty.Options{Seed: seed}),
	}
	addrs, err := world.Ports(ctx, 5)
	if err != nil {
		return nil, err
	}
	p := places{
		Slack: addrs[0], PagerDuty: addrs[1], Alertmanager: addrs[2], Tocsin: addrs[3], Operators: addrs[4],
		SlackToken: fakeslack.DefaultToken, PagerDutyKey: fakepagerduty.DefaultKey,
	}
	s.alertmanager = p.Alertmanager
	if err := s.write(dir, p); err != nil {
		return nil, err
	}
	for addr, h := range map[string]http.Handler{p.Slack: s.Slack, p.PagerDuty: s.PagerDuty} {
		if err := s.serve(ctx, addr, h); err != nil {
			s.stop()
			return nil, err
		}
	}
	config := "direct.yml"
	if through {
		config = "through.yml"
	}
	s.programs = []*world.Process{s.program(dir, "alertmanager", paths, p.Alertmanager,
		"--config.file="+config, "--storage.path=data/alertmanager", "--web.listen-address="+p.Alertmanager, "--cluster.listen-address=")}
	if through {
		s.programs = append(s.programs, s.program(dir, "tocsin", paths, p.Tocsin, "serve", "--config.file", "tocsin.yml"))
	}
	for _, program := range s.programs {
		if err := errors.Join(program.Start()); err != nil {
			s.stop()
			return nil, err
		}
		ready, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("it had 30 s"))
		err := program.Await(ready)
		cancel()
		if err != nil {
			s.stop()
			return nil, err
		}
	}
	return s, nil
}

func (s *Side) program(dir, name string, paths map[string]string, addr string, args ...string) *world.Process {
	return &world.Process{
		Name: name, Path: paths[name], Args: args, Dir: dir,
		Log: filepath.Join(dir, name+".log"), Ready: "http://" + addr + "/-/ready",
	}
}

func (s *Side) write(dir string, p places) error {
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		return err
	}
	t, err := template.ParseFS(templates, "templates/*.tmpl")
	if err != nil {
		return err
	}
	files := map[string][]byte{"slack.token": []byte(p.SlackToken), "pagerduty.key": []byte(p.PagerDutyKey)}
	for _, name := range []string{"direct.yml", "through.yml", "tocsin.yml"} {
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, name+".tmpl", p); err != nil {
			return err
		}
		files[name] = b.Bytes()
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *Side) serve(ctx context.Context, addr string, h http.Handler) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(l) }() // its end is stop's affair
	return nil
}

func (s *Side) stop() {
	for _, p := range s.programs {
		p.Stop(5 * time.Second)
	}
	for _, server := range s.servers {
		_ = server.Close()
	}
}

// alert is one alert as Prometheus posts it to /api/v2/alerts.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// alert returns the problem as it is now. One that fires ends, for Alertmanager,
// four resends later unless it is sent again, as Prometheus has it.
func (s *Side) alert(p problem, now time.Time) alert {
	a := alert{
		Labels:      map[string]string{"alertname": "CheckoutErrors", "service": p.service, "severity": "critical"},
		Annotations: map[string]string{"summary": p.service + " fails"},
		StartsAt:    s.began.Add(p.from), EndsAt: now.Add(4 * resend),
	}
	if end := s.began.Add(p.till); !now.Before(end) {
		a.EndsAt = end
	}
	return a
}

func (s *Side) post(ctx context.Context, batch []alert) error {
	body, err := json.Marshal(batch)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.alertmanager+"/api/v2/alerts", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("post alerts: status %d", res.StatusCode)
	}
	return nil
}
