package awx

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/remediate"
)

// question is one of a survey.
type question struct {
	Variable string          `json:"variable"`
	Type     string          `json:"type"`
	Required bool            `json:"required"`
	Default  any             `json:"default"`
	Choices  json.RawMessage `json:"choices"` // a list, or one choice a line
}

// survey returns the survey's variables with their defaults, and says which
// ones nobody answers. AWX wants to be given those with a default too.
func (s *server) survey(ctx context.Context, kind string, id int64, f launchForm, step remediate.Step, why *reasons) (map[string]any, error) {
	if !f.Survey {
		for _, name := range f.Needed {
			why.add("variable %q is needed, and there is no survey to say how", clean(name, 80))
		}
		return nil, nil
	}
	var spec struct {
		Questions []question `json:"spec"`
	}
	if err := s.api.get(ctx, "survey", templates(kind, id, "survey_spec"), nil, &spec); err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, q := range spec.Questions {
		name := clean(q.Variable, 80)
		out[q.Variable] = q.preset()
		v, given := step.Variables[q.Variable]
		switch {
		case q.Variable == dictionary:
			why.add("the survey asks for %q, which is a variable of ours", dictionary)
		case !given && q.Required && out[q.Variable] == nil:
			why.add("the survey asks for %q, which has no default: give it among the step's variables", name)
		case given && slices.Contains([]string{"integer", "float", "multiselect"}, q.Type):
			why.add("the survey's variable %q is of type %s: a step gives text", name, q.Type)
		case given && v.Label == "" && q.Type == "multiplechoice" && !slices.Contains(q.choices(), v.Value):
			why.add("the survey's variable %q does not take %q", name, clean(v.Value, 80))
		}
	}
	for _, name := range f.Needed {
		if _, asked := out[name]; !asked {
			why.add("variable %q is needed, and the survey does not ask for it", clean(name, 80))
		}
	}
	return out, nil
}

// preset is a question's default in the type that AWX takes it in, nil for none.
func (q question) preset() any {
	switch v := q.Default.(type) {
	case nil:
		return nil
	case float64:
		if q.Type == "integer" {
			return int64(v)
		}
		return v
	case string:
		switch {
		case v == "":
			return nil
		case q.Type == "integer":
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				return n
			}
			return nil
		case q.Type == "float":
			if n, err := strconv.ParseFloat(v, 64); err == nil {
				return n
			}
			return nil
		case q.Type == "multiselect":
			return strings.Split(v, "\n")
		}
		return v
	default:
		return v
	}
}

func (q question) choices() []string {
	var many []string
	if json.Unmarshal(q.Choices, &many) == nil {
		return many
	}
	var text string
	if json.Unmarshal(q.Choices, &text) == nil {
		return strings.Split(text, "\n")
	}
	return nil
}
