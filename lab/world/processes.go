package world

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
)

const channelID = "C0PAGES"

// plan gives everything an address.
func (w *World) plan(ctx context.Context, o Options) error {
	n := 2 + o.Replicas + 2*o.Alertmanagers
	if o.Thanos {
		n += 2*o.Replicas + 2
	}
	free, err := ports(ctx, n)
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
	w.SecretFiles = Secrets{
		Alertmanager: "secrets/alertmanager", Operator: "secrets/operator",
		Slack: "secrets/slack", PagerDuty: "secrets/pagerduty",
	}
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
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(w.Dir, name), body, 0o644); err != nil {
			return err
		}
	}
	for file, secret := range map[string]string{
		w.SecretFiles.Alertmanager: rand.Text(), w.SecretFiles.Operator: rand.Text(),
		w.SecretFiles.Slack: fakeslack.DefaultToken, w.SecretFiles.PagerDuty: fakepagerduty.DefaultKey,
	} {
		if err := os.WriteFile(filepath.Join(w.Dir, file), []byte(secret+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Secret reads one of the world's own secrets.
func (w *World) Secret(file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(w.Dir, file))
	return strings.TrimSpace(string(b)), err
}

// processes lists the programs, those that are asked before those that ask.
func (w *World) processes(paths map[string]string) []*Process {
	var out []*Process
	add := func(name, tool, ready string, args ...string) *Process {
		p := &Process{
			Name: name, Path: paths[tool], Args: args, Dir: w.Dir,
			Log: filepath.Join(w.Dir, "logs", name+".log"), Ready: ready,
		}
		out = append(out, p)
		return p
	}
	w.Gateway = add("tocsin", "tocsin", "http://"+w.Tocsin+"/-/ready", "serve", "--config.file", "tocsin.yml")
	for i, addr := range w.Alertmanagers {
		name := "alertmanager-" + strconv.Itoa(i+1)
		args := []string{
			"--config.file=alertmanager.yml", "--storage.path=data/" + name,
			"--web.listen-address=" + addr, "--cluster.listen-address=",
		}
		if len(w.Gossip) > 0 {
			args[3] += w.Gossip[i]
			args = append(args, "--cluster.peer="+w.Gossip[(i+1)%len(w.Gossip)])
		}
		add(name, "alertmanager", "http://"+addr+"/-/ready", args...)
	}
	for i, addr := range w.Prometheus {
		name := "prometheus-" + Replica(i)
		add(name, "prometheus", "http://"+addr+"/-/ready",
			"--config.file="+name+".yml", "--storage.tsdb.path=data/"+name, "--storage.tsdb.retention.time=6h",
			"--web.listen-address="+addr, "--rules.alert.resend-delay="+w.Settings.Resend.String())
	}
	for i, s := range w.Sidecars {
		add("thanos-sidecar-"+Replica(i), "thanos", "http://"+s.HTTP+"/-/ready", "sidecar",
			"--tsdb.path=data/prometheus-"+Replica(i), "--prometheus.url=http://"+w.Prometheus[i],
			"--grpc-address="+s.GRPC, "--http-address="+s.HTTP)
	}
	if w.Query.GRPC != "" {
		args := []string{"query", "--query.replica-label=replica", "--grpc-address=" + w.Query.GRPC, "--http-address=" + w.Query.HTTP}
		for _, s := range w.Sidecars {
			args = append(args, "--endpoint="+s.GRPC)
		}
		add("thanos-query", "thanos", "http://"+w.Query.HTTP+"/-/ready", args...)
	}
	return out
}

// Querier is the address that answers PromQL for people: Thanos where there is one.
func (w *World) Querier() string {
	if w.Query.HTTP != "" {
		return "http://" + w.Query.HTTP
	}
	if len(w.Prometheus) > 0 {
		return "http://" + w.Prometheus[0]
	}
	return ""
}
