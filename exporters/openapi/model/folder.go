package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

var (
	// errNoDocument marks a file that can be read and is no OpenAPI document.
	errNoDocument = errors.New("only OpenAPI 2.0 and 3.x are read")
	// errNoMapping marks a file whose value is no mapping.
	errNoMapping = errors.New("it is no mapping")
)

// documents are where the documents of an API are: the location itself or, where
// that is a folder, its files *.json, *.yaml and *.yml, in order. Folders in the
// folder, and what begins with a dot, are not looked at.
func (o Options) documents() (locations []string, folder bool, err error) {
	if strings.Contains(o.Location, "://") {
		return []string{o.Location}, false, nil
	}
	if info, err := os.Stat(o.Location); err != nil || !info.IsDir() {
		return []string{o.Location}, false, nil // who reads it says what is wrong
	}
	dir, err := os.Open(o.Location)
	if err != nil {
		return nil, true, fmt.Errorf("document: %w", err)
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, true, fmt.Errorf("document: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || strings.HasPrefix(name, ".") || !slices.Contains([]string{".json", ".yaml", ".yml"}, filepath.Ext(name)) {
			continue
		}
		locations = append(locations, filepath.Join(o.Location, name))
	}
	if len(locations) > maxFiles {
		return nil, true, fmt.Errorf("%w: more than %d files in %s", ErrRefused, maxFiles, o.Location)
	}
	slices.Sort(locations)
	return locations, true, nil
}

// at is where one of the documents is.
func (o Options) at(location string) Options {
	o.Location = location
	return o
}
