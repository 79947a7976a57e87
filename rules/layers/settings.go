package layers

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/config"
)

// Unknown says which values apps get that are not in the inventory.
type Unknown string

// What apps get that are not in the inventory, and series without the app label.
const (
	UnknownGlobal  Unknown = "global"  // what the template and the global layer say
	UnknownLargest Unknown = "largest" // what most apps get: the shortest matchers
	UnknownNone    Unknown = "none"    // no rule
)

// Settings is rules.yaml, which may be left out.
type Settings struct {
	Order     []string `yaml:"order" doc:"The layers, the most general first: each overrides those before it. global has one file, app is by the app's name, each other is a key of apps.yaml."`
	AppLabel  string   `yaml:"app_label" doc:"The label that names the app on series."`
	Unknown   Unknown  `yaml:"unknown" enum:"global,largest,none" doc:"What apps get that are not in apps.yaml, and series without the label: what global says; what most apps get, for the shortest matchers; or no rule."`
	SourceURL string   `yaml:"source_url" doc:"Where people read the tree, with {file} and {line}: alerts then link to the line that set their threshold."`
	ExprBytes int      `yaml:"expr_bytes" doc:"How long an expression may become by its matchers: beyond it a rule's apps are parted among several. Tocsin reads expressions of up to 16384 bytes."`
	Output    Output   `yaml:"output" doc:"What is written."`
}

// Output says what files are written.
type Output struct {
	Format    Format            `yaml:"format" enum:"prometheus,operator" doc:"prometheus: rule files of Prometheus and Thanos Ruler. operator: objects PrometheusRule of the Prometheus Operator."`
	Namespace string            `yaml:"namespace" doc:"Namespace of the objects; none is written where it is left out."`
	Labels    map[string]string `yaml:"labels" doc:"Labels of the objects, by which a Prometheus or ThanosRuler selects them."`
}

// Format is the kind of file that is written.
type Format string

// The formats.
const (
	FormatPrometheus Format = "prometheus"
	FormatOperator   Format = "operator"
)

// DefaultSettings is what holds without rules.yaml.
func DefaultSettings() *Settings {
	return &Settings{
		Order:    []string{layerGlobal, "cluster", "phase", "app-type", "app-group", layerApp},
		AppLabel: "app", Unknown: UnknownGlobal, ExprBytes: 16 << 10, Output: Output{Format: FormatPrometheus},
	}
}

// Layers without a key in apps.yaml.
const (
	layerGlobal = "global"
	layerApp    = "app"
)

// minExprBytes leaves room for an expression and a few apps.
const minExprBytes = 1 << 10

// Validate says what cannot be.
func (s *Settings) Validate() error {
	var errs []error
	word := regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	for i, l := range s.Order {
		field := fmt.Sprintf("order[%d]", i)
		switch {
		case !word.MatchString(l) || l == "name":
			errs = append(errs, config.Bad(field, "%q cannot name a layer: lower case letters, digits, - and _, and not `name`", l))
		case slices.Index(s.Order, l) < i:
			errs = append(errs, config.Bad(field, "%q stands twice", l))
		}
	}
	if len(s.Order) == 0 {
		errs = append(errs, config.Bad("order", "name the layers, the most general first"))
	}
	if !model.LegacyValidation.IsValidLabelName(s.AppLabel) {
		errs = append(errs, config.Bad("app_label", "%q is not the name of a label", s.AppLabel))
	}
	if !slices.Contains([]Unknown{UnknownGlobal, UnknownLargest, UnknownNone}, s.Unknown) {
		errs = append(errs, config.Bad("unknown", "%q is none of global, largest, none", s.Unknown))
	}
	if s.SourceURL != "" && (!strings.Contains(s.SourceURL, "{file}") || !strings.HasPrefix(s.SourceURL, "http")) {
		errs = append(errs, config.Bad("source_url", "write an address with {file} and {line} in it: https://git.example.org/rules/blob/main/{file}#L{line}"))
	}
	if s.ExprBytes < minExprBytes {
		errs = append(errs, config.Bad("expr_bytes", "at least %d", minExprBytes))
	}
	if s.Output.Format != FormatPrometheus && s.Output.Format != FormatOperator {
		errs = append(errs, config.Bad("output.format", "%q is neither prometheus nor operator", s.Output.Format))
	}
	if s.Output.Format == FormatPrometheus && (s.Output.Namespace != "" || len(s.Output.Labels) > 0) {
		errs = append(errs, config.Bad("output.format", "namespace and labels are for format: operator"))
	}
	return errors.Join(errs...)
}
