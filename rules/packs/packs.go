// Package packs holds the alerts that are shipped for services at large, as a
// tree of templates and layers.
package packs

import (
	"embed"
	"io/fs"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
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

// Pack is what people choose a pack by.
type Pack struct {
	Name   string   `json:"name"`
	Doc    string   `json:"doc"`
	Alerts []string `json:"alerts"`
}

// All are the packs, sorted by their names.
func All() ([]Pack, error) {
	var out []Pack
	for _, name := range Names() {
		data, err := Tree.ReadFile(File(name))
		if err != nil {
			return nil, err
		}
		var head struct {
			Doc   string
			Rules []struct{ Alert string }
		}
		if err := yaml.Unmarshal(data, &head); err != nil {
			return nil, err
		}
		p := Pack{Name: name, Doc: head.Doc}
		for _, r := range head.Rules {
			if r.Alert != "" {
				p.Alerts = append(p.Alerts, r.Alert)
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// File is where the template of a pack stands, in Tree and in every tree.
func File(pack string) string { return "templates/" + pack + ".yaml" }
