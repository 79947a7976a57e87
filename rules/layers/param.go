package layers

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
)

// The types of a parameter.
const (
	typeDuration = "duration" // 30s, 5m
	typeNumber   = "number"   // 0.5, 1e6
	typePercent  = "percent"  // 5%: 0.05 in an expression, 5% in text
	typeString   = "string"   // any text; in an expression only inside quotes
	typeEnum     = "enum"     // one of the template's values
	typeBool     = "bool"     // true: 1 in an expression
	typeRegex    = "regex"    // RE2, inside the quotes of =~ and !~
	typeLabel    = "label"    // name of a label
	typeMetric   = "metric"   // name of a metric
)

func types() []string {
	return []string{typeDuration, typeNumber, typePercent, typeString, typeEnum, typeBool, typeRegex, typeLabel, typeMetric}
}

// maxValue bounds a parameter's text.
const maxValue = 4 << 10

// param is a parameter of a template.
type param struct {
	Name, Type, Doc string
	Values          []string // of an enum
	min, max        *value
	line            int
}

// value is a parameter's value, checked, in the forms in which it is used.
type value struct {
	text   string  // what people read
	bare   string  // one token of PromQL; "" where it may stand in quotes only
	number float64 // for min and max: seconds of a duration, the ratio of a percentage
}

// parse checks a value and gives it its one form, so that 60s and 1m are alike.
func (p *param) parse(text string) (value, error) {
	if len(text) > maxValue {
		return value{}, fmt.Errorf("%s is over %d bytes", p.Name, maxValue)
	}
	if !utf8.ValidString(text) {
		return value{}, fmt.Errorf("%s is not UTF-8", p.Name)
	}
	v, err := p.read(text)
	if err != nil {
		return value{}, fmt.Errorf("%q is not what %s can be: %w", text, p.Name, err)
	}
	if p.min != nil && v.number < p.min.number {
		return value{}, fmt.Errorf("%s of %s is less than its least, %s", text, p.Name, p.min.text)
	}
	if p.max != nil && v.number > p.max.number {
		return value{}, fmt.Errorf("%s of %s is more than its most, %s", text, p.Name, p.max.text)
	}
	return v, nil
}

func (p *param) read(text string) (value, error) {
	switch p.Type {
	case typeDuration:
		d, err := model.ParseDuration(text)
		if err != nil {
			return value{}, fmt.Errorf("write a duration: 500ms, 30s, 5m or 1h30m")
		}
		return value{text: d.String(), bare: d.String(), number: float64(d) / 1e9}, nil
	case typeNumber:
		return number(text, "")
	case typePercent:
		digits, ok := strings.CutSuffix(text, "%")
		if !ok {
			return value{}, fmt.Errorf("write a percentage with its sign: 5%%")
		}
		return number(digits, "%")
	case typeEnum:
		if !slices.Contains(p.Values, text) {
			return value{}, fmt.Errorf("it is one of %s%s", strings.Join(p.Values, ", "), nearest(text, p.Values))
		}
		return value{text: text, bare: text}, nil
	case typeBool:
		switch text {
		case "true":
			return value{text: text, bare: "1", number: 1}, nil
		case "false":
			return value{text: text, bare: "0"}, nil
		}
		return value{}, fmt.Errorf("write true or false")
	case typeRegex:
		if _, err := regexp.Compile("^(?s:" + text + ")$"); err != nil {
			return value{}, fmt.Errorf("write an RE2 expression: %w", err)
		}
		return value{text: text}, nil
	case typeLabel:
		if !model.LegacyValidation.IsValidLabelName(text) {
			return value{}, fmt.Errorf("write the name of a label: letters, digits and _")
		}
		return value{text: text, bare: text}, nil
	case typeMetric:
		if !model.LegacyValidation.IsValidMetricName(text) {
			return value{}, fmt.Errorf("write the name of a metric: letters, digits, colons and _")
		}
		return value{text: text, bare: text}, nil
	default:
		return value{text: text}, nil
	}
}

// number reads a decimal; a percentage is divided in the decimal, so that 5.3%
// is 0.053 and not its neighbour.
func number(text, sign string) (value, error) {
	digits := strings.TrimSpace(text)
	if strings.Trim(digits, "+-.0123456789eE") != "" { // ParseFloat also takes Inf, NaN, 0x1p2 and 1_0
		return value{}, fmt.Errorf("write a decimal number")
	}
	whole, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsInf(whole, 0) {
		return value{}, fmt.Errorf("write a number that can be counted with")
	}
	shown, counted := whole, whole
	if sign != "" {
		mantissa, exp, _ := strings.Cut(strings.ToLower(digits), "e")
		e, _ := strconv.Atoi(exp) // "" is 0, and what is no number ParseFloat has refused
		if counted, err = strconv.ParseFloat(mantissa+"e"+strconv.Itoa(e-2), 64); err != nil {
			return value{}, fmt.Errorf("write a number that can be counted with")
		}
	}
	v := value{text: decimal(shown) + sign, bare: decimal(counted), number: counted}
	if counted < 0 {
		v.bare = "(" + v.bare + ")" // 2 ^ -1 and 1 --1 read as they are meant
	}
	return v, nil
}

// decimal writes a number as people do, without an exponent where it is not large.
func decimal(f float64) string {
	if f == 0 {
		return "0" // and not -0
	}
	if a := math.Abs(f); a >= 1e15 || a < 1e-9 {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
