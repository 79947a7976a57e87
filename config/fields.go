package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// fieldsOf returns the keys a struct has in YAML.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	out := map[string]reflect.StructField{}
	for f := range t.Fields() {
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if opts == "inline" {
			for inner, g := range fieldsOf(f.Type) {
				g.Index = slices.Concat(f.Index, g.Index) // as seen from here
				out[inner] = g
			}
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		out[name] = f
	}
	return out
}

// suggest returns `; did you mean "x"?` when a known key is near, else the
// known keys when they are few.
func suggest(key string, fields map[string]reflect.StructField) string {
	known := slices.Sorted(maps.Keys(fields))
	if best := Nearest(key, known); best != "" {
		return `; write "` + best + `"`
	}
	if len(known) > 0 && len(known) <= 12 {
		return "; known here: " + strings.Join(known, ", ")
	}
	return ""
}

// Nearest returns the known word that is at most a third of word's length away
// in edits, "" if none is.
func Nearest(word string, known []string) string {
	best, at := "", len(word)/3+1
	for _, k := range known {
		if d := edits(strings.ToLower(word), strings.ToLower(k)); d < at {
			best, at = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance with neighbours swapped counting as one
// (optimal string alignment).
func edits(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
