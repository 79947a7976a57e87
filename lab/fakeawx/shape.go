package fakeawx

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shape checks the form of each field of a launch and puts it into the form it
// is kept in: text trimmed, numbers int64. It says what is wrong with which.
func (f *Fake) shape(t *template, asked object) (field, says string) {
	if v, legacy := asked["inventory_id"]; legacy {
		asked["inventory"] = v
	}
	for name, v := range asked {
		if !slices.Contains(prompts(t.workflow()), promptOf(name)) {
			continue
		}
		kept, says := f.shapeOf(name, v)
		if says != "" {
			return name, says
		}
		asked[name] = kept
	}
	return "", ""
}

func (f *Fake) shapeOf(name string, v any) (kept any, says string) {
	if v == nil {
		return nil, "This field may not be null."
	}
	switch name {
	case "extra_vars":
		_, err := readVars(v)
		return v, sayErr(err)
	case "limit", "job_tags", "skip_tags", "scm_branch":
		return charField(v)
	case "job_type":
		s, says := charField(v)
		if says != "" || s != "run" && s != "check" {
			return nil, fmt.Sprintf("%q is not a valid choice.", fmt.Sprint(v))
		}
		return s, ""
	case "forks", "verbosity", "job_slice_count", "timeout":
		return wholeField(v)
	case "diff_mode":
		if b, ok := v.(bool); ok {
			return b, ""
		}
		return nil, "Must be a valid boolean."
	case "inventory":
		return pkField(v, func(id int64) bool { return f.inventoryOf(id) != nil })
	case "labels":
		return manyField(v, func(id int64) bool { _, ok := f.labelOf(id); return ok })
	case "credentials", "instance_groups":
		return manyField(v, func(int64) bool { return true })
	default:
		return pkField(v, func(int64) bool { return true })
	}
}

func sayErr(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// charField takes text and numbers, not booleans and lists, and trims them.
func charField(v any) (any, string) {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v), ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), ""
	default:
		return nil, "Not a valid string."
	}
}

func wholeField(v any) (any, string) {
	s, says := charField(v)
	if says != "" {
		return nil, "A valid integer is required."
	}
	n, ok := number(s.(string))
	if !ok {
		return nil, "A valid integer is required."
	}
	return n, ""
}

func pkField(v any, there func(int64) bool) (any, string) {
	f, ok := v.(float64)
	if !ok || f != math.Trunc(f) {
		return nil, "Incorrect type. Expected pk value, received " + typeName(v) + "."
	}
	if !there(int64(f)) {
		return nil, fmt.Sprintf("Invalid pk \"%d\" - object does not exist.", int64(f))
	}
	return int64(f), ""
}

func manyField(v any, there func(int64) bool) (any, string) {
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Sprintf("Expected a list of items but got type %q.", typeName(v))
	}
	out := make([]any, len(list))
	for i, one := range list {
		id, says := pkField(one, there)
		if says != "" {
			return nil, says
		}
		out[i] = id
	}
	return out, ""
}

// typeName is Python's name of what JSON holds.
func typeName(v any) string {
	switch v.(type) {
	case string:
		return "str"
	case bool:
		return "bool"
	case float64:
		return "int"
	case []any:
		return "list"
	default:
		return "dict"
	}
}

// readVars reads extra_vars: an object, or text that holds one in JSON or YAML.
func readVars(v any) (map[string]any, error) {
	switch v := v.(type) {
	case object:
		return v, nil
	case string:
		var out map[string]any
		if strings.TrimSpace(v) == "" {
			return map[string]any{}, nil
		}
		errJSON := json.Unmarshal([]byte(v), &out)
		if errJSON == nil {
			return out, nil
		}
		if err := yaml.Unmarshal([]byte(v), &out); err != nil {
			return nil, fmt.Errorf("Cannot parse as JSON (error: %s) or YAML (error: %s).", errJSON.Error(), err.Error()) //nolint:revive,staticcheck // the words are AWX's
		}
		return out, nil
	default:
		return nil, fmt.Errorf("Cannot parse as JSON (error: the JSON object must be str, bytes or bytearray, not %s) or YAML.", typeName(v)) //nolint:revive,staticcheck // the words are AWX's
	}
}

// wrong says what a survey has against an answer. One with a default must be
// answered all the same.
func (q Question) wrong(vars map[string]any) []string {
	v, given := vars[q.Variable]
	switch {
	case !given && q.Required:
		return []string{fmt.Sprintf("'%s' value missing", q.Variable)}
	case !given || v == "$encrypted$" && q.Type == "password":
		return nil
	}
	switch q.Type {
	case "integer", "float":
		return q.wrongNumber(v)
	case "multiselect":
		list, ok := v.([]any)
		if !ok {
			return []string{fmt.Sprintf("'%s' value is expected to be a list.", q.Variable)}
		}
		var out []string
		for _, one := range list {
			if !slices.Contains(q.Choices, fmt.Sprint(one)) {
				out = append(out, fmt.Sprintf("Value %v for '%s' expected to be one of ['%s'].", one, q.Variable, strings.Join(q.Choices, "', '")))
			}
		}
		return out
	case "multiplechoice":
		if !slices.Contains(q.Choices, fmt.Sprint(v)) {
			return []string{fmt.Sprintf("Value %v for '%s' expected to be one of ['%s'].", v, q.Variable, strings.Join(q.Choices, "', '"))}
		}
		return nil
	default:
		return q.wrongText(v)
	}
}

func (q Question) wrongText(v any) []string {
	s, ok := v.(string)
	switch {
	case !ok:
		return []string{fmt.Sprintf("Value %v for '%s' expected to be a string.", v, q.Variable)}
	case len(s) < q.Min:
		return []string{fmt.Sprintf("'%s' value %s is too small (length is %d must be at least %d).", q.Variable, s, len(s), q.Min)}
	case q.Max > 0 && len(s) > q.Max:
		return []string{fmt.Sprintf("'%s' value %s is too large (must be no more than %d).", q.Variable, s, q.Max)}
	}
	return nil
}

func (q Question) wrongNumber(v any) []string {
	n, ok := v.(float64)
	switch {
	case !ok && q.Type == "integer", ok && q.Type == "integer" && n != math.Trunc(n):
		return []string{fmt.Sprintf("Value %v for '%s' expected to be an integer.", v, q.Variable)}
	case !ok:
		return []string{fmt.Sprintf("Value %v for '%s' expected to be a numeric type.", v, q.Variable)}
	case q.Min != 0 && n < float64(q.Min):
		return []string{fmt.Sprintf("'%s' value %v is too small (must be at least %d).", q.Variable, n, q.Min)}
	case q.Max != 0 && n > float64(q.Max):
		return []string{fmt.Sprintf("'%s' value %v is too large (must be no more than %d).", q.Variable, n, q.Max)}
	}
	return nil
}

func join(names []string) string { return strings.Join(names, ", ") }
