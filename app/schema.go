package app

import (
	"encoding/json"
	"io"

	"github.com/tocsin/tocsin/config"
)

// WriteSchema writes the JSON Schema (draft 2020-12) of the config file, the
// sections of every kind included.
func WriteSchema(w io.Writer) error {
	s := config.SchemaOf(DefaultConfig())
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "Tocsin"
	var sources, targets, told []*config.Schema
	for _, k := range Sources() {
		sources = append(sources, partSchema(&Part{}, k.Name, k.Config()))
	}
	for _, k := range Notifiers() {
		targets = append(targets, partSchema(&Part{}, k.Name, k.Config()))
		told = append(told, partSchema(&Target{}, k.Name, k.Config()))
	}
	var backends []*config.Schema
	for _, k := range Backends() {
		backends = append(backends, partSchema(&Part{}, k.Name, k.Config()))
	}
	s.Properties["remediation"].Properties["backends"].Items = &config.Schema{OneOf: backends}
	s.Properties["sources"].Items = &config.Schema{OneOf: sources}
	s.Properties["last_resort"] = &config.Schema{OneOf: targets, Description: s.Properties["last_resort"].Description}
	s.Properties["receivers"].Items.Properties["notify"].Items = &config.Schema{OneOf: told}
	s.Properties["fallbacks"].Items = &config.Schema{OneOf: targets}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(s)
}

// partSchema is the schema of a part, or of what holds one, with the section of a kind.
func partSchema(part any, kind string, cfg any) *config.Schema {
	s := config.SchemaOf(part)
	s.Properties["kind"] = &config.Schema{Const: kind, Description: s.Properties["kind"].Description}
	with := config.SchemaOf(cfg)
	s.Properties["with"] = with
	if len(with.Required) > 0 {
		s.Required = append(s.Required, "with")
	}
	return s
}
