package shop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/lab/world"
)

// Street is a shop, and an openapi_exporter in front of its door.
type Street struct {
	Shop      *Shop
	Front     string            // URL where customers come in
	Metrics   string            // address of the exporter's /metrics
	Rules     map[string][]byte // what the exporter generates to watch it, by name of file
	Dashboard []byte            // likewise, for Grafana

	server  *http.Server
	sidecar *world.Process
}

// config of the exporter: its proxy, a probe of what may be asked, and a value of
// what is answered.
const config = `services:
  - name: shop
    document: shop.yaml
    sample: {ratio: 1}
    proxy: {listen: %q, upstream: "http://%s"}
    probe: {targets: ["http://%s"], interval: 2s, parameters: {getProduct: {id: p1}, getOrder: {id: o1}}}
    values: {metrics: [{operation: getProduct, path: /price, name: shop_price_euros}]}
`

// Open opens a shop with an exporter of this path in front, whose files are in
// dir.
func Open(ctx context.Context, dir, exporter string) (_ *Street, err error) {
	ports, err := world.Ports(ctx, 2)
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Street{Shop: New(), Front: "http://" + ports[0], Metrics: ports[1]}
	s.server = &http.Server{Handler: s.Shop, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(l) }() // ends with Close
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	config := fmt.Appendf(nil, config, ports[0], l.Addr(), l.Addr())
	for name, text := range map[string][]byte{"openapi.yml": config, "shop.yaml": Document} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	generated, err := exec.CommandContext(ctx, exporter, "generate", "--config.file", filepath.Join(dir, "openapi.yml"), "--out", filepath.Join(dir, "watch"),
		"--native-histograms", "--latency", "2s"). // a loaded machine answers within that
		CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("openapi_exporter generate: %w: %s", err, bytes.TrimSpace(generated))
	}
	rules, err := os.ReadFile(filepath.Join(dir, "watch", "shop.rules.yml"))
	if err != nil {
		return nil, err
	}
	s.Rules = map[string][]byte{"shop.rules.yml": rules}
	if s.Dashboard, err = os.ReadFile(filepath.Join(dir, "watch", "shop.dashboard.json")); err != nil {
		return nil, err
	}
	s.sidecar = &world.Process{
		Name: "openapi_exporter", Path: exporter, Dir: dir, Log: filepath.Join(dir, "openapi_exporter.log"), Ready: "http://" + s.Metrics + "/-/ready",
		Args: []string{"serve", "--config.file", "openapi.yml", "--web.listen-address", s.Metrics},
	}
	if err := s.sidecar.Start(); err != nil {
		return nil, err
	}
	ready, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("openapi_exporter had a minute"))
	defer cancel()
	return s, s.sidecar.Await(ready)
}

// Close ends the exporter and the shop.
func (s *Street) Close() {
	if s.sidecar != nil && s.sidecar.Done() != nil {
		s.sidecar.Stop(5 * time.Second)
	}
	_ = s.server.Close() // nobody is left to answer
}

// Scrape counts the exporter's own series, and returns the sum of those whose
// line begins with prefix.
func (s *Street) Scrape(ctx context.Context, prefix string) (series int, sum float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Metrics+"/metrics", nil)
	if err != nil {
		return 0, 0, err
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return 0, 0, fmt.Errorf("scrape openapi_exporter: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, 0, fmt.Errorf("scrape openapi_exporter: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "openapi_") {
			series++
		}
		if strings.HasPrefix(line, prefix) {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
			if err != nil {
				return 0, 0, fmt.Errorf("scrape openapi_exporter: %w", err)
			}
			sum += value
		}
	}
	return series, sum, nil
}
