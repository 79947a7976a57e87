package world_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/world"
)

// program writes an executable that names a version.
func program(t *testing.T, path, version string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	script := "#!/bin/sh\necho '" + filepath.Base(path) + ", version " + version + " (branch: HEAD)'\n"
	require.NoError(t, os.WriteFile(path, []byte(script), 0o755))
	return path
}

func TestFind(t *testing.T) {
	root, bin := t.TempDir(), t.TempDir()
	t.Setenv("PATH", bin)
	find := func(f world.Finder, name string) (string, string, error) {
		var said bytes.Buffer
		f.Out = &said
		path, err := f.Find(t.Context(), name)
		return path, said.String(), err
	}

	_, _, err := find(world.Finder{}, "prometheus")
	require.EqualError(t, err, "prometheus is not on PATH and the sources are not here: install it, or name it with --bin prometheus=PATH")

	cached := program(t, filepath.Join(root, ".cache/bin/prometheus"), "")
	got, _, err := find(world.Finder{Root: root}, "prometheus")
	require.NoError(t, err)
	require.Equal(t, cached, got)

	old := program(t, filepath.Join(bin, "prometheus"), "2.41.0+ds")
	got, said, err := find(world.Finder{Root: root}, "prometheus")
	require.NoError(t, err)
	require.Equal(t, cached, got, "an old one on PATH is passed over")
	require.Contains(t, said, old+" is passed over: it is version 2.41, and 2.42 is the oldest that will do")

	for _, version := range []string{"2.42.0+ds", "3.9.1", "(unknown)"} {
		onPath := program(t, filepath.Join(bin, "prometheus"), version)
		got, _, err = find(world.Finder{Root: root}, "prometheus")
		require.NoError(t, err)
		require.Equal(t, onPath, got, version)
	}

	debian := program(t, filepath.Join(bin, "prometheus-alertmanager"), "0.25.0")
	got, _, err = find(world.Finder{Root: root}, "alertmanager")
	require.NoError(t, err)
	require.Equal(t, debian, got)

	got, _, err = find(world.Finder{Root: root, Given: map[string]string{"prometheus": "/opt/prom"}}, "prometheus")
	require.NoError(t, err)
	require.Equal(t, "/opt/prom", got, "what is named is taken")

	beside := program(t, filepath.Join(t.TempDir(), "tocsin"), "")
	got, _, err = find(world.Finder{Root: root, Beside: filepath.Dir(beside)}, "tocsin")
	require.NoError(t, err)
	require.Equal(t, beside, got)

	_, _, err = find(world.Finder{}, "grafana")
	require.EqualError(t, err, "no tool is called grafana")
}

// A tool that is nowhere is built from its own module, and says so.
func TestFindBuilds(t *testing.T) {
	root := t.TempDir()
	module := filepath.Join(root, "tools/alertmanager")
	main := filepath.Join(module, "cmd/alertmanager/main.go")
	require.NoError(t, os.MkdirAll(filepath.Dir(main), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(module, "go.mod"), []byte("module github.com/prometheus/alertmanager\n\ngo 1.26\n"), 0o600))
	require.NoError(t, os.WriteFile(main, []byte("package main\n\nfunc main() {}\n"), 0o600))
	goTool, err := os.Readlink(filepath.Join(runtimeBin(t), "go"))
	if err != nil {
		goTool = filepath.Join(runtimeBin(t), "go")
	}
	bin := t.TempDir()
	require.NoError(t, os.Symlink(goTool, filepath.Join(bin, "go")))
	t.Setenv("PATH", bin)

	var said bytes.Buffer
	f := world.Finder{Root: root, Out: &said}
	path, err := f.Find(t.Context(), "alertmanager")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(root, ".cache/bin/alertmanager"), path)
	require.FileExists(t, path)
	require.Contains(t, said.String(), "building alertmanager into "+path)
	require.Contains(t, said.String(), "CPU minutes")

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(main, []byte("package main\n\nfunc main() { nonsense }\n"), 0o600))
	f.Out = io.Discard
	_, err = f.Find(t.Context(), "alertmanager")
	require.ErrorContains(t, err, "build alertmanager: exit status 1")
	require.ErrorContains(t, err, "undefined: nonsense")
	require.NoFileExists(t, path)
}

func TestRoot(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b")
	require.NoError(t, os.MkdirAll(deep, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "a", "go.mod"), []byte("module example.org/other\n"), 0o600))
	require.Empty(t, world.Root(deep))
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("module github.com/tocsin/tocsin\n\ngo 1.26\n"), 0o600))
	require.Equal(t, root, world.Root(deep))
}

// runtimeBin is the folder of the go command that runs this test.
func runtimeBin(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("go")
	require.NoError(t, err)
	return filepath.Dir(path)
}
