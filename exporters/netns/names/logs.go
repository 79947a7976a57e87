package names

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxNames is how many names of a log directory are read.
const maxNames = 20_000

// Logs reads the names that the kubelet gives to log files, which need no API and
// no rights but to list two directories: pods/<namespace>_<pod>_<uid> and
// containers/<pod>_<namespace>_<container>-<id>.log.
type Logs struct{ dir string }

// NewLogs returns a source that reads below a directory, /var/log.
func NewLogs(dir string) *Logs { return &Logs{dir: dir} }

// Name is "logs".
func (*Logs) Name() string { return "logs" }

// List returns the pods and containers that have logs.
func (l *Logs) List(ctx context.Context) ([]Entry, error) {
	var entries []Entry
	pods, err := list(ctx, filepath.Join(l.dir, "pods"))
	for _, name := range pods {
		if e, ok := podLog(name); ok {
			entries = append(entries, e)
		}
	}
	containers, missing := list(ctx, filepath.Join(l.dir, "containers"))
	for _, name := range containers {
		if e, ok := containerLog(name); ok {
			entries = append(entries, e)
		}
	}
	return entries, errors.Join(err, missing)
}

// podLog reads <namespace>_<pod>_<uid>. Neither of the three may have a _ in it.
func podLog(name string) (Entry, bool) {
	p := strings.Split(name, "_")
	if len(p) != 3 || p[0] == "" || p[1] == "" || p[2] == "" {
		return Entry{}, false
	}
	return Entry{PodUID: p[2], Pod: true, Name: Name{Namespace: p[0], Pod: p[1]}}, true
}

// containerLog reads <pod>_<namespace>_<container>-<id>.log.
func containerLog(name string) (Entry, bool) {
	base, ok := strings.CutSuffix(name, ".log")
	p := strings.Split(base, "_")
	if !ok || len(p) != 3 {
		return Entry{}, false
	}
	container, id, _ := cutLast(p[2], "-")
	if container == "" || !isHex(id, 64) {
		return Entry{}, false
	}
	return Entry{ContainerID: id, Name: Name{Container: container, ContainerID: id, Namespace: p[1], Pod: p[0]}}, true
}

// list returns the names in a directory; none if it is not there.
func list(ctx context.Context, dir string) ([]string, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	defer d.Close()
	var all []string
	for len(all) < maxNames && ctx.Err() == nil {
		some, err := d.Readdirnames(512)
		all = append(all, some...)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, fmt.Errorf("list logs: %w", err)
		}
	}
	return all, ctx.Err()
}
