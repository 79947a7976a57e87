package fakeawx

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	pageSize    = 25
	maxPageSize = 200
)

// list answers things as AWX lists them: filtered, in order, a page of them.
// model is their name in errors.
func (f *Fake) list(c *call, model string, all []object) {
	found, err := filter(model, all, c.query)
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, errSecret) {
			status = http.StatusForbidden
		}
		detail(c.w, status, err.Error())
		return
	}
	if err := sortBy(found, model, c.query.Get("order_by")); err != nil {
		detail(c.w, http.StatusBadRequest, err.Error())
		return
	}
	size, _ := strconv.Atoi(c.query.Get("page_size"))
	if size <= 0 {
		size = pageSize
	}
	size = min(size, maxPageSize)
	page := 1
	if s := c.query.Get("page"); s != "" {
		page, err = strconv.Atoi(s)
	}
	last := max(1, (len(found)+size-1)/size)
	if err != nil || page < 1 || page > last {
		detail(c.w, http.StatusNotFound, "Invalid page.")
		return
	}
	results := found[(page-1)*size : min(page*size, len(found))]
	if c.query.Has("count_disabled") {
		answer(c.w, http.StatusOK, object{"results": results})
		return
	}
	answer(c.w, http.StatusOK, object{
		"count": len(found), "results": results,
		"next": c.toPage(page+1, page < last, size), "previous": c.toPage(page-1, page > 1, size),
	})
}

// toPage is the address of another page, without scheme and host.
func (c *call) toPage(n int, there bool, size int) any {
	if !there {
		return nil
	}
	q := maps.Clone(c.query)
	if q.Has("page_size") {
		q.Set("page_size", strconv.Itoa(size))
	}
	q.Set("page", strconv.Itoa(n))
	return c.r.URL.Path + "?" + q.Encode()
}

// reserved are names of the query that filter nothing, limit among them.
func reserved() []string {
	return []string{
		"page", "page_size", "format", "order", "order_by", "search", "type", "host_filter", "count_disabled", "no_truncate", "limit", "validate",
	}
}

// secret are fields that may not be searched.
func secret() []string {
	return []string{"extra_vars", "survey_passwords", "survey_spec", "job_args", "job_env", "start_args", "notification_configuration", "webhook_key"}
}

var errSecret = errors.New("filtering is not allowed")

// refusal is AWX's sentence with our error behind it.
type refusal struct{ says string }

func (r refusal) Error() string { return r.says }
func (r refusal) Unwrap() error { return errSecret }

// filter keeps what matches every condition of a query; those that begin with
// or__ are one condition together.
func filter(model string, all []object, q url.Values) ([]object, error) {
	var must, either []condition
	for name, values := range q {
		if slices.Contains(reserved(), name) {
			continue
		}
		for _, v := range values {
			cond, err := parse(model, name, v)
			if err != nil {
				return nil, err
			}
			if cond.either {
				either = append(either, cond)
			} else {
				must = append(must, cond)
			}
		}
	}
	found := []object{}
	for _, o := range all {
		holds := len(either) == 0 || slices.ContainsFunc(either, func(c condition) bool { return c.holds(o) })
		for _, c := range must {
			holds = holds && c.holds(o)
		}
		if holds {
			found = append(found, o)
		}
	}
	return found, nil
}

type condition struct {
	path        []string
	lookup      string
	value       string
	not, either bool
	re          *regexp.Regexp
}

func lookups() []string {
	return []string{
		"exact", "iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith",
		"regex", "iregex", "gt", "gte", "lt", "lte", "in", "isnull",
	}
}

// fields are what a model's list can be filtered by.
func fields(model string) []string {
	unified := []string{
		"id", "name", "type", "created", "modified", "status", "launch_type", "started", "finished", "failed", "created_by", "labels", "organization",
		"unified_job_template", "canceled_on", "job_explanation",
	}
	switch model {
	case "Job":
		return append(unified, "job_template", "inventory", "limit", "job_type", "job_tags", "skip_tags", "scm_branch", "playbook", "webhook_guid", "webhook_service", "job_slice_number")
	case "WorkflowJob":
		return append(unified, "workflow_job_template", "job_template", "is_sliced_job", "inventory", "webhook_guid")
	case "JobHostSummary":
		return []string{"id", "host_name", "host", "ok", "changed", "failures", "dark", "processed", "skipped", "failed"}
	case "JobEvent":
		return []string{"id", "event", "counter", "host_name", "failed", "changed", "stdout"}
	case "Host":
		return []string{"id", "name", "inventory", "enabled"}
	case "User":
		return []string{"id", "username"}
	default:
		return []string{"id", "name", "organization", "type", "playbook", "inventory", "job_type", "status", "kind"}
	}
}

func parse(model, name, value string) (condition, error) {
	c := condition{lookup: "exact", value: value}
	parts := strings.Split(name, "__")
	for len(parts) > 1 && slices.Contains([]string{"not", "or", "chain"}, parts[0]) {
		c.not, c.either = c.not || parts[0] == "not", c.either || parts[0] == "or"
		parts = parts[1:]
	}
	if last := parts[len(parts)-1]; len(parts) > 1 && slices.Contains(lookups(), last) {
		c.lookup, parts = last, parts[:len(parts)-1]
	}
	c.path = parts
	switch {
	case slices.Contains(secret(), parts[0]):
		return c, refusal{fmt.Sprintf("Filtering on %s is not allowed.", parts[0])}
	case !slices.Contains(fields(model), parts[0]):
		return c, fmt.Errorf("%s has no field named '%s'", model, parts[0])
	}
	if parts[len(parts)-1] == "id" || len(parts) == 1 && slices.Contains([]string{"created_by", "job_template", "inventory", "organization"}, parts[0]) {
		for v := range strings.SplitSeq(value, ",") {
			if _, ok := number(v); !ok && c.lookup != "isnull" {
				return c, fmt.Errorf("Field 'id' expected a number but got '%s'.", v) //nolint:revive,staticcheck // the words are AWX's
			}
		}
	}
	var err error
	switch c.lookup {
	case "regex":
		c.re, err = regexp.Compile(value)
	case "iregex":
		c.re, err = regexp.Compile("(?i)" + value)
	}
	return c, err
}

// holds reports whether one of the values at the path is as asked for.
func (c condition) holds(o object) bool {
	values := at(o, c.path)
	if c.lookup == "isnull" {
		return (len(values) == 0) == (c.value == "true" || c.value == "True" || c.value == "1") != c.not
	}
	return slices.ContainsFunc(values, c.matches) != c.not
}

func (c condition) matches(v string) bool {
	have, want := v, c.value
	if rest, folded := strings.CutPrefix(c.lookup, "i"); folded && slices.Contains(lookups(), rest) && c.lookup != "in" {
		have, want = strings.ToLower(have), strings.ToLower(want)
		c.lookup = rest
	}
	switch c.lookup {
	case "contains":
		return strings.Contains(have, want)
	case "startswith":
		return strings.HasPrefix(have, want)
	case "endswith":
		return strings.HasSuffix(have, want)
	case "in":
		return slices.Contains(strings.Split(want, ","), have)
	case "regex":
		return c.re.MatchString(v)
	case "gt":
		return order(have, want) > 0
	case "gte":
		return order(have, want) >= 0
	case "lt":
		return order(have, want) < 0
	case "lte":
		return order(have, want) <= 0
	default:
		return have == want
	}
}

// order compares numbers as numbers and the rest, times among it, as text.
func order(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

// at returns what a path leads to. The path of a relation goes through what is
// shown of it.
func at(o object, path []string) []string {
	if len(path) == 1 {
		return text(o[path[0]])
	}
	shown, _ := o["summary_fields"].(object)
	related, _ := shown[path[0]].(object)
	if many, ok := related["results"].([]object); ok {
		var out []string
		for _, m := range many {
			out = append(out, text(m[path[1]])...)
		}
		return out
	}
	return text(related[path[1]])
}

func text(v any) []string {
	if v == nil {
		return nil
	}
	return []string{fmt.Sprint(v)}
}

func sortBy(found []object, model, by string) error {
	for _, key := range slices.Backward(strings.Split(by, ",")) {
		name, down := strings.CutPrefix(key, "-")
		if name == "" {
			continue
		}
		if !slices.Contains(fields(model), name) {
			return fmt.Errorf("Cannot resolve keyword '%s' into field.", name) //nolint:revive,staticcheck // the words are AWX's
		}
		slices.SortStableFunc(found, func(a, b object) int {
			d := order(fmt.Sprint(a[name]), fmt.Sprint(b[name]))
			if down {
				return -d
			}
			return d
		})
	}
	return nil
}
