package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/config"
)

// Flag is one flag of a server's command line.
type Flag struct {
	Name  string // without its dashes
	Value string
	Line  int
}

// ReadFlags takes a command line apart: a unit file's ExecStart, the args of a
// container, a shell script. Words that are no flags are passed over.
func ReadFlags(text string) []Flag {
	var out []Flag
	for i, line := range strings.Split(text, "\n") {
		words := strings.FieldsFunc(line, func(r rune) bool {
			return r == ' ' || r == '\t' || r == '\r' || r == '\\' || r == ',' || r == '[' || r == ']'
		})
		for w := 0; w < len(words); w++ {
			word := strings.Trim(words[w], `"'`)
			name, value, has := strings.Cut(word, "=")
			if !strings.HasPrefix(name, "--") {
				continue
			}
			if !has && w+1 < len(words) && !strings.HasPrefix(strings.Trim(words[w+1], `"'`), "-") {
				w++
				value = words[w]
			}
			out = append(out, Flag{Name: strings.TrimPrefix(name, "--"), Value: strings.Trim(value, `"'`), Line: i + 1})
		}
	}
	return out
}

// Flags lays the flags of Prometheus or of Thanos Ruler over what the file says.
func (p *Prometheus) Flags(file string, flags []Flag) error {
	for _, f := range flags {
		var s *Setting
		switch f.Name {
		case "eval-interval":
			s = &p.Eval
		case "rule-query-offset":
			s = &p.Offset
		case "resend-delay", "rules.alert.resend-delay":
			s = &p.Resend
		case "label":
			name, value, _ := strings.Cut(f.Value, "=")
			if p.External == nil {
				p.External = map[string]string{}
			}
			p.External[name] = strings.Trim(value, `"'`)
		case "alert.label-drop":
			delete(p.External, f.Value)
		}
		if s == nil {
			continue
		}
		d, err := flagDuration(file, f)
		if err != nil {
			return err
		}
		*s = Setting{Key: "--" + f.Name, Value: d, File: file, Line: f.Line}
	}
	return nil
}

func flagDuration(file string, f Flag) (time.Duration, error) {
	if d, err := model.ParseDuration(f.Value); err == nil {
		return time.Duration(d), nil
	}
	d, err := time.ParseDuration(f.Value)
	if err != nil || d < 0 {
		return 0, &config.Mistake{File: file, Line: f.Line, Text: fmt.Sprintf("--%s %q is not a duration: write it as 30s, 5m or 1h30m", f.Name, f.Value)}
	}
	return d, nil
}
