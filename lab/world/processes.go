package world

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
)

const (
	channelID = "C0PAGES"
	spareKey  = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a" // integration key of the service that stands in
)

// plan gives everything an address.
func (w *World) plan(ctx context.Context, o Options) error {
	n := 2 + o.Replicas + 2*o.Alertmanagers
	if o.Thanos {
		n += 2*o.Replicas + 2
	}
	free, err := Ports(ctx, n)
	if err != nil {
		return err
	}
	next := func() string {
		a := free[0]
		free = free[1:]
		return a
	}
	w.Settings, w.Channel = o.Settings, channelID
	w.Tocsin, w.Operators = next(), next()
	w.SecretFiles = SecretsIn("secrets")
	if o.Replicas == 0 {
		return nil
	}
	for range o.Replicas {
		w.Prometheus = append(w.Prometheus, next())
		if o.Thanos {
			w.Sidecars = append(w.Sidecars, Thanos{next(), next()})
		}
	}
	if o.Thanos {
		w.Query = Thanos{next(), next()}
	}
	for range o.Alertmanagers {
		w.Alertmanagers = append(w.Alertmanagers, next())
		if o.Alertmanagers > 1 {
			w.Gossip = append(w.Gossip, next())
		}
	}
	return nil
}

// write puts configs, targets and secrets into the folder.
func (w *World) write() error {
	files, err := w.Files()
	if err != nil {
		return err
	}
	if files["targets.json"], err = w.Fleet.Discovery(w.Plan.Fleet); err != nil {
		return err
	}
	if files["targets.json"], err = beside(files["targets.json"], w.options.Guests); err != nil {
		return err
	}
	maps.Copy(files, w.options.Rules)
	if r := w.options.Remediation; r != nil {
		files["policies.yml"] = r.Policies
	}
	files["env"] = fmt.Appendf(nil, "export SLACK=http://%s PAGERDUTY=http://%s FLEET=http://%s TOCSIN=http://%s PAGES=http://%s\n",
		w.Slack, w.PagerDuty, w.Plan.Fleet, w.Tocsin, w.Operators)
	if len(w.Prometheus) > 0 {
		files["env"] = fmt.Appendf(files["env"], "export PROMETHEUS=http://%s\n", w.Prometheus[0])
	}
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(w.Dir, name), body, 0o644); err != nil {
			return err
		}
	}
	s := w.SecretFiles
	for file, secret := range map[string]string{
		s.Alertmanager: rand.Text(), s.Operator: rand.Text(),
		s.Slack: fakeslack.DefaultToken, s.SlackApp: fakeslack.DefaultAppToken, s.SlackSigning: fakeslack.DefaultSigningSecret,
		s.PagerDuty: fakepagerduty.DefaultKey, s.PagerDutySpare: spareKey,
		s.PagerDutyToken: fakepagerduty.DefaultAPIToken, s.PagerDutyWebhook: w.hookSecret,
		s.AWX: fakeawx.DefaultToken,
	} {
		if err := os.WriteFile(filepath.Join(w.Dir, file), []byte(secret+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// beside adds guests to a file of targets.
func beside(targets []byte, guests []Guest) ([]byte, error) {
	if len(guests) == 0 {
		return targets, nil
	}
	var groups []any
	if err := json.Unmarshal(targets, &groups); err != nil {
		return nil, err
	}
	for _, g := range guests {
		groups = append(groups, map[string]any{"targets": []string{g.Addr}, "labels": g.Labels})
	}
	return json.MarshalIndent(groups, "", " ")
}

// Secret reads one of the world's own secrets.
func (w *World) Secret(file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(w.Dir, file))
	return strings.TrimSpace(string(b)), err
}

// waves lists the programs in the order in which they may start: a Thanos
// component that finds nobody to talk to tries again only after half a minute.
func (w *World) waves(paths map[string]string) [][]*Process {
	program := func(name, tool, ready string, args ...string) *Process {
		return &Process{
			Name: name, Path: paths[tool], Args: args, Dir: w.Dir,
			Log: filepath.Join(w.Dir, "logs", name+".log"), Ready: "http://" + ready + "/-/ready",
		}
	}
	w.Gateway = program("tocsin", "tocsin", w.Tocsin, "serve", "--config.file", "tocsin.yml")
	servers := []*Process{w.Gateway}
	for i, addr := range w.Alertmanagers {
		name := "alertmanager-" + strconv.Itoa(i+1)
		servers = append(servers, program(name, "alertmanager", addr, w.alertmanagerArgs(i, name, addr)...))
	}
	for i, addr := range w.Prometheus {
		name := "prometheus-" + Replica(i)
		servers = append(servers, program(name, "prometheus", addr,
			"--config.file="+name+".yml", "--storage.tsdb.path=data/"+name, "--storage.tsdb.retention.time=6h",
			"--web.listen-address="+addr, "--rules.alert.resend-delay="+w.Settings.Resend.String()))
	}
	if w.Query.GRPC == "" {
		return [][]*Process{servers}
	}
	query := []string{"query", "--query.replica-label=replica", "--grpc-address=" + w.Query.GRPC, "--http-address=" + w.Query.HTTP}
	var sidecars []*Process
	for i, s := range w.Sidecars {
		sidecars = append(sidecars, program("thanos-sidecar-"+Replica(i), "thanos", s.HTTP, "sidecar",
			"--tsdb.path=data/prometheus-"+Replica(i), "--prometheus.url=http://"+w.Prometheus[i],
			"--grpc-address="+s.GRPC, "--http-address="+s.HTTP))
		query = append(query, "--endpoint="+s.GRPC)
	}
	return [][]*Process{servers, sidecars, {program("thanos-query", "thanos", w.Query.HTTP, query...)}}
}

func (w *World) alertmanagerArgs(i int, name, addr string) []string {
	args := []string{"--config.file=alertmanager.yml", "--storage.path=data/" + name, "--web.listen-address=" + addr}
	if len(w.Gossip) == 0 {
		return append(args, "--cluster.listen-address=")
	}
	return append(args, "--cluster.listen-address="+w.Gossip[i], "--cluster.peer="+w.Gossip[(i+1)%len(w.Gossip)])
}
