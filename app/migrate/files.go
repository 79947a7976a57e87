package migrate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tocsin/tocsin/config"
)

const (
	secretsDir = "secrets"
	configMode = fs.FileMode(0o640)
	secretMode = fs.FileMode(0o600)
)

// File is one that is written.
type File struct {
	Path   string
	Text   string
	Shown  string // what a dry run shows instead of Text, "" for Text itself
	Mode   fs.FileMode
	Secret bool // never overwritten, never shown: what it holds may have been put there by hand
}

// Unfilled is the content of a secret file that somebody must fill in.
func Unfilled(cure string) string { return config.Unfilled + cure }

// Write writes the files. Without force it overwrites nothing, and then writes
// nothing at all. A secret that is there is kept, unless it still waits to be
// filled in.
func (r *Result) Write(w io.Writer, force bool) error {
	var errs []error
	for _, f := range r.Files {
		if _, err := os.Lstat(f.Path); err == nil && !force && !f.Secret {
			errs = append(errs, fmt.Errorf("%s is there already: --force overwrites it", f.Path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, f := range r.Files {
		did, err := f.write()
		if err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
		fmt.Fprintf(w, "%-7s %s\n", did, f.Path)
	}
	return nil
}

func (f File) write() (did string, err error) {
	if f.Secret {
		if have, err := os.ReadFile(f.Path); err == nil && !strings.HasPrefix(string(have), config.Unfilled) {
			return "kept", nil
		}
		if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
			return "", err
		}
	} else if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return "", err
	}
	// beside it first, so that a file is there whole or not at all
	tmp, err := os.CreateTemp(filepath.Dir(f.Path), ".tocsin-init-")
	if err != nil {
		return "", err
	}
	_, err = tmp.WriteString(f.Text)
	err = errors.Join(err, tmp.Chmod(f.Mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), f.Path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(tmp.Name()))
	}
	return "wrote", nil
}

// Show prints the files without their secrets; nothing is written.
func (r *Result) Show(w io.Writer) {
	for _, f := range r.Files {
		fmt.Fprintf(w, "--- %s (mode %#o)\n", f.Path, f.Mode)
		switch {
		case f.Secret && strings.HasPrefix(f.Text, config.Unfilled):
			fmt.Fprint(w, f.Text)
		case f.Secret:
			fmt.Fprintln(w, config.Secret(""))
		case f.Shown != "":
			fmt.Fprint(w, f.Shown)
		default:
			fmt.Fprint(w, f.Text)
		}
	}
}

// Tell prints what the reader must know.
func (r *Result) Tell(w io.Writer) {
	for _, list := range []struct {
		head  string
		lines []string
	}{
		{"You must (tocsin check says what is left):", r.Todo},
		{"Keeps going from Alertmanager, leave it in alertmanager.yml:", r.Stays},
		{"Not carried over:", r.Lost},
		{"Costs time, change it in alertmanager.yml:", r.Tune},
	} {
		if len(list.lines) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", list.head)
		for i, l := range list.lines {
			fmt.Fprintf(w, "%3d. %s\n", i+1, l)
		}
	}
}
