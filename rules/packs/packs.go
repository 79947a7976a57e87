// Package packs holds the alerts that are shipped for services at large, as a
// tree of templates and layers.
package packs

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

// Tree is the tree that tocsin rules build reads: rules.yaml may be left out.
//
//go:embed apps.yaml templates layers
var Tree embed.FS

// Files are the names of all files of Tree, sorted.
func Files() []string {
	var out []string
	_ = fs.WalkDir(Tree, ".", func(name string, d fs.DirEntry, err error) error { // what is embedded can be read
		if err == nil && !d.IsDir() {
			out = append(out, name)
		}
		return nil
	})
	return out
}

// Names are the packs, sorted: each is a template of Tree.
func Names() []string {
	var out []string
	for _, f := range Files() {
		if path.Dir(f) == "templates" {
			out = append(out, strings.TrimSuffix(path.Base(f), ".yaml"))
		}
	}
	return out
}
