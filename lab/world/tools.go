package world

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Tool is a program the lab runs and how it is come by.
type Tool struct {
	Name    string   // as in .cache/bin, and the flag that names it
	OnPath  []string // names it goes by on PATH
	Module  string   // folder below the root whose go.mod pins it
	Package string
	Tags    string
	Takes   string // what building it costs, in words
	Oldest  [2]int // major and minor version that will do; zero: any
}

// Tools returns what a world may need.
func Tools() []Tool {
	return []Tool{
		{
			Name: "prometheus", OnPath: []string{"prometheus"}, Module: "tools/prometheus",
			Package: "github.com/prometheus/prometheus/cmd/prometheus", Tags: "remove_all_sd",
			Takes:  "downloads up to 200 MB of modules, then about 5 CPU minutes, once",
			Oldest: [2]int{2, 42}, // keep_firing_for
		},
		{
			Name: "alertmanager", OnPath: []string{"alertmanager", "prometheus-alertmanager"}, Module: "tools/alertmanager",
			Package: "github.com/prometheus/alertmanager/cmd/alertmanager",
			Takes:   "downloads up to 80 MB of modules, then about 2 CPU minutes, once",
			Oldest:  [2]int{0, 22}, // http_config.authorization
		},
		{
			Name: "thanos", OnPath: []string{"thanos"}, Module: "tools/thanos",
			Package: "github.com/thanos-io/thanos/cmd/thanos", Tags: "slicelabels",
			Takes: "downloads up to 300 MB of modules, then about 6 CPU minutes, once",
		},
		{
			Name: "etcd", OnPath: []string{"etcd"}, Module: "tools/etcd",
			Package: "go.etcd.io/etcd/server/v3",
			Takes:   "downloads up to 60 MB of modules, then about 1 CPU minute, once",
			Oldest:  [2]int{3, 5}, // what is supported
		},
		{
			Name: "tocsin", OnPath: []string{"tocsin"}, Module: ".",
			Package: "./cmd/tocsin", Tags: "remove_all_sd",
			Takes: "about 2 CPU minutes the first time",
		},
		{
			Name: "netns_exporter", OnPath: []string{"netns_exporter"}, Module: ".",
			Package: "./cmd/netns_exporter",
			Takes:   "about 1 CPU minute the first time",
		},
		{
			Name: "openapi_exporter", OnPath: []string{"openapi_exporter"}, Module: ".",
			Package: "./cmd/openapi_exporter",
			Takes:   "about 1 CPU minute the first time",
		},
	}
}

// Finder finds the programs, or builds them where the sources are at hand.
type Finder struct {
	Root   string            // of the repository; "" when there is none
	Given  map[string]string // name → path, from flags: taken as they are
	Beside string            // folder of our own program: a tocsin there belongs to it
	Out    io.Writer         // is told what is built and how long it will take
	Live   bool              // Out is a terminal: a counter may be redrawn
	Oldest map[string][2]int // name → version that will do, where a world needs a newer one than the tool's own
}

// Find returns the path of a program: the one given, one on PATH that is new
// enough, the one built before, or one built now.
func (f Finder) Find(ctx context.Context, name string) (string, error) {
	i := 0
	tools := Tools()
	for i < len(tools) && tools[i].Name != name {
		i++
	}
	if i == len(tools) {
		return "", fmt.Errorf("no tool is called %s", name)
	}
	tool := tools[i]
	if oldest, ok := f.Oldest[name]; ok {
		tool.Oldest = oldest
	}
	if path := f.Given[name]; path != "" {
		return filepath.Abs(path)
	}
	if tool.Module == "." {
		return f.own(ctx, tool)
	}
	for _, alias := range tool.OnPath {
		path, err := exec.LookPath(alias)
		if err != nil {
			continue
		}
		if err := tool.fits(ctx, path); err != nil {
			fmt.Fprintf(f.Out, "  %s is passed over: %v\n", path, err)
			continue
		}
		return filepath.Abs(path)
	}
	if f.Root != "" {
		if path := f.cached(name); isProgram(path) {
			return path, nil
		}
	}
	return f.build(ctx, tool)
}

// own finds one of our own programs: beside our own program, else fresh from the sources.
func (f Finder) own(ctx context.Context, tool Tool) (string, error) {
	if path := filepath.Join(f.Beside, tool.Name); f.Beside != "" && isProgram(path) {
		return path, nil
	}
	if f.Root == "" {
		if path, err := exec.LookPath(tool.Name); err == nil {
			return filepath.Abs(path)
		}
	}
	return f.build(ctx, tool)
}

func (f Finder) cached(name string) string { return filepath.Join(f.Root, ".cache", "bin", name) }

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// fits refuses a program that says it is older than what will do. One that
// names no version is taken at its word.
func (t Tool) fits(ctx context.Context, path string) error {
	if t.Oldest == [2]int{} {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("ask its version: %w", err)
	}
	m := regexp.MustCompile(`(?i)version:? (\d+)\.(\d+)`).FindSubmatch(out)
	if m == nil {
		return nil
	}
	major, _ := strconv.Atoi(string(m[1]))
	minor, _ := strconv.Atoi(string(m[2]))
	if cmp.Or(cmp.Compare(major, t.Oldest[0]), cmp.Compare(minor, t.Oldest[1])) < 0 {
		return fmt.Errorf("it is version %d.%d, and %d.%d is the oldest that will do", major, minor, t.Oldest[0], t.Oldest[1])
	}
	return nil
}

// build compiles a program into the cache. A half-written file never takes
// its place.
func (f Finder) build(ctx context.Context, t Tool) (string, error) {
	if f.Root == "" {
		return "", fmt.Errorf("%s is not on PATH and the sources are not here: install it, or name it with --bin %s=PATH", t.Name, t.Name)
	}
	path := f.cached(t.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	begin := time.Now()
	fmt.Fprintf(f.Out, "  building %s into %s: %s\n", t.Name, path, t.Takes)
	fresh := fmt.Sprintf("%s.%d.new", path, os.Getpid()) // another process may build it too
	args := []string{"build", "-o", fresh}
	if t.Tags != "" {
		args = append(args, "-tags", t.Tags)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, t.Package)...)
	cmd.Dir = filepath.Join(f.Root, t.Module)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("build %s: %w", t.Name, err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	err := f.count(begin, t.Name, done)
	if err != nil {
		return "", errors.Join(fmt.Errorf("build %s: %w", t.Name, err), errors.New(lastLines(said.String(), 12)))
	}
	fmt.Fprintf(f.Out, "  built %s in %s\n", t.Name, time.Since(begin).Round(time.Second))
	return path, os.Rename(fresh, path)
}

// count shows that the build is alive: every second on a terminal, else every
// half minute.
func (f Finder) count(begin time.Time, name string, done <-chan error) error {
	every := 30 * time.Second
	if f.Live {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if f.Live {
				fmt.Fprint(f.Out, "\r\x1b[K")
			}
			return err
		case <-tick.C:
			took := time.Since(begin).Round(time.Second)
			if f.Live {
				fmt.Fprintf(f.Out, "\r  building %s … %s", name, took)
			} else {
				fmt.Fprintf(f.Out, "  building %s … %s\n", name, took)
			}
		}
	}
}

// lastLines returns the last n lines of s.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Root walks up from dir to the repository's go.mod, "" when there is none.
func Root(dir string) string {
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module github.com/tocsin/tocsin\n") {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}
