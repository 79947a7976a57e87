package names

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// maxAnswer is how much of an API's answer is read: 16 MiB hold some 10,000 containers.
const maxAnswer = 16 << 20

// CRI asks a container runtime by the kubelet's own API (runtime.v1), which
// containerd and cri-o serve on a socket.
type CRI struct {
	conn    *grpc.ClientConn
	client  runtime.RuntimeServiceClient
	runtime string
}

// NewCRI returns a source that asks the runtime at a socket, /run/containerd/containerd.sock
// or /run/crio/crio.sock. It does not connect before it is asked.
func NewCRI(socket string) (*CRI, error) {
	conn, err := grpc.NewClient("unix:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, fmt.Errorf("open CRI at %s: %w", socket, err)
	}
	return &CRI{conn: conn, client: runtime.NewRuntimeServiceClient(conn)}, nil
}

// Name is "cri".
func (*CRI) Name() string { return "cri" }

// Close ends the connection.
func (c *CRI) Close() error { return c.conn.Close() }

// List returns the sandboxes and containers that the runtime knows.
func (c *CRI) List(ctx context.Context) ([]Entry, error) {
	if c.runtime == "" {
		v, err := c.client.Version(ctx, &runtime.VersionRequest{})
		if err != nil {
			return nil, fmt.Errorf("ask version: %w", err)
		}
		c.runtime = v.GetRuntimeName()
	}
	pods, err := c.client.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	containers, err := c.client.ListContainers(ctx, &runtime.ListContainersRequest{})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var entries []Entry
	bySandbox := map[string]Entry{}
	for _, p := range pods.GetItems() {
		m := p.GetMetadata()
		e := Entry{ContainerID: p.GetId(), PodUID: m.GetUid(), Pod: true, Name: Name{
			App: app(p.GetLabels()), ContainerID: p.GetId(), Namespace: m.GetNamespace(), Pod: m.GetName(), Runtime: c.runtime,
		}}
		bySandbox[e.ContainerID] = e
		entries = append(entries, e)
	}
	for _, k := range containers.GetContainers() {
		pod := bySandbox[k.GetPodSandboxId()]
		of := kubernetes(k.GetLabels())
		of.ContainerID, of.Runtime = k.GetId(), c.runtime
		if of.Container == "" {
			of.Container = k.GetMetadata().GetName()
		}
		entries = append(entries, Entry{ContainerID: k.GetId(), PodUID: pod.PodUID, Name: of.over(pod.Name)})
	}
	return entries, nil
}

// kubernetes reads the labels that the kubelet puts on what it has made.
func kubernetes(labels map[string]string) Name {
	return Name{
		App:       app(labels),
		Container: labels["io.kubernetes.container.name"],
		Namespace: labels["io.kubernetes.pod.namespace"],
		Pod:       labels["io.kubernetes.pod.name"],
	}
}

// app is what people call the workload.
func app(labels map[string]string) string {
	for _, l := range []string{"app.kubernetes.io/name", "app", "k8s-app", "com.docker.compose.service"} {
		if v := labels[l]; v != "" {
			return v
		}
	}
	return ""
}
