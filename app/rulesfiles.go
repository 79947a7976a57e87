package app

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/rules/layers"
)

// rulesPlan is what a folder of written rules lacks.
type rulesPlan struct {
	change []layers.File // new, or other than they are
	remove []string      // of templates, or settings of apps, that are gone
}

// planFiles compares files with those of a folder. A file that somebody else
// wrote is never overwritten.
func planFiles(dir string, files []layers.File) (rulesPlan, error) {
	var p rulesPlan
	var errs []error
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		have, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			p.change = append(p.change, f)
		case err != nil:
			errs = append(errs, err)
		case !bytes.HasPrefix(have, []byte(layers.Header)) && len(have) > 0:
			errs = append(errs, fmt.Errorf("%s was not written by tocsin rules build: move it, or choose another --out", path))
		case !bytes.Equal(have, f.Data):
			p.change = append(p.change, f)
		}
	}
	there, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range there {
		wanted := slices.ContainsFunc(files, func(f layers.File) bool { return f.Name == e.Name() })
		if wanted || !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), ".yaml") && e.Name() != layers.AppsFile {
			continue
		}
		switch mine, err := ours(filepath.Join(dir, e.Name())); {
		case err != nil:
			errs = append(errs, err)
		case mine:
			p.remove = append(p.remove, e.Name())
		}
	}
	return p, errors.Join(errs...)
}

// apply writes all files beside their places first, and moves them there only
// once all are written: a full disk leaves everything as it was.
func (p rulesPlan) apply(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var temps []string
	defer func() {
		for _, t := range temps {
			err = errors.Join(err, os.Remove(t))
		}
	}()
	for _, f := range p.change {
		t, err := os.CreateTemp(dir, "."+f.Name+".*")
		if err != nil {
			return err
		}
		temps = append(temps, t.Name())
		_, err = t.Write(f.Data)
		if err := errors.Join(err, t.Chmod(0o644), t.Sync(), t.Close()); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
	}
	for _, f := range p.change {
		if err := os.Rename(temps[0], filepath.Join(dir, f.Name)); err != nil {
			return err
		}
		temps = temps[1:]
	}
	for _, name := range p.remove {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
