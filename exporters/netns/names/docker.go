package names

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// Docker asks a Docker engine, or Podman, which speaks the same, by the Docker
// API on its socket.
type Docker struct{ client *http.Client }

// NewDocker returns a source that asks the engine at a socket,
// /var/run/docker.sock or /run/podman/podman.sock.
func NewDocker(socket string) *Docker {
	return &Docker{client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		MaxIdleConns: 1,
	}}}
}

// Name is "docker".
func (*Docker) Name() string { return "docker" }

// Close ends idle connections.
func (d *Docker) Close() error {
	d.client.CloseIdleConnections()
	return nil
}

// List returns the containers that run.
func (d *Docker) List(ctx context.Context) ([]Entry, error) {
	// Without a version in its path the engine answers with its newest.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/containers/json", nil)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("list containers: status %d", resp.StatusCode)
	}
	var containers []struct {
		ID     string `json:"Id"`
		Names  []string
		Labels map[string]string
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&containers); err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	entries := make([]Entry, 0, len(containers))
	for _, c := range containers {
		n := kubernetes(c.Labels)
		n.ContainerID, n.Runtime = c.ID, "docker"
		if n.Container == "" && len(c.Names) > 0 {
			n.Container = strings.TrimPrefix(c.Names[0], "/")
		}
		entries = append(entries, Entry{ContainerID: c.ID, PodUID: c.Labels["io.kubernetes.pod.uid"], Name: n})
	}
	return entries, nil
}
