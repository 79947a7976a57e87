// Package packs holds the alerts that are shipped for services at large, as a
// tree of templates and layers.
package packs

import "embed"

// Tree is the tree that tocsin rules build reads: rules.yaml may be left out.
//
//go:embed apps.yaml templates layers
var Tree embed.FS
