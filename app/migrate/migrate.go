// Package migrate writes a first config: a minimal one, or one that takes over
// the Slack and PagerDuty receivers of an alertmanager.yml. It says what a human
// must still do, and what goes on being sent by Alertmanager.
package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	amconfig "github.com/prometheus/alertmanager/config"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
)

// Options choose what is read and where the result stands.
type Options struct {
	From    string // an alertmanager.yml
	Out     string // the Tocsin config; the other files stand beside it
	Cluster string // name of the Alertmanager cluster
	URL     string // Tocsin's address, as Alertmanager reaches it
}

// Result is what Write writes and what its reader must know.
type Result struct {
	Files []File
	Todo  []string // what a human must do; `tocsin check` fails until it is done
	Stays []string // what keeps going from Alertmanager
	Lost  []string // what is not carried over
	Tune  []string // what in the routes costs time
}

// FromAlertmanager reads an alertmanager.yml with Alertmanager's own config
// package. Its mistakes are *config.Mistake, with lines.
func FromAlertmanager(o Options) (*Result, error) {
	if u, err := url.Parse(o.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not Tocsin's address: write it as http://tocsin:9095", o.URL)
	}
	text, err := read(o.From)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, mistake(o.From, nil, err)
	}
	am, err := amconfig.Load(text)
	if err != nil {
		return nil, mistake(o.From, &doc, err)
	}
	m := &migration{o: o, am: am, base: filepath.Dir(o.From), tokens: map[string]string{}, keys: map[string]string{}}
	for _, r := range am.Receivers {
		m.receiver(r)
	}
	if len(m.receivers) == 0 {
		return nil, &config.Mistake{File: o.From, Text: "no receiver sends to Slack or PagerDuty in a way that Tocsin could take over: " + strings.Join(m.res.Stays, "; ")}
	}
	if err := m.rewrite(&doc); err != nil {
		return nil, fmt.Errorf("rewrite %s: %w", o.From, err)
	}
	m.tune(&doc)
	m.res.Files = append(m.res.Files, File{Path: o.Out, Text: m.tocsin(), Mode: configMode})
	m.res.Files = append(m.res.Files, m.secrets...)
	return &m.res, nil
}

// migration is one alertmanager.yml on its way.
type migration struct {
	o         Options
	am        *amconfig.Config
	base      string // folder of the alertmanager.yml
	res       Result
	receivers []receiver
	secrets   []File
	tokens    map[string]string // what a Slack config authenticates with, to its file
	keys      map[string]string // what a PagerDuty config authenticates with, to its file
	names     []named           // targets, each once
}

// receiver is one that Tocsin takes over, in part at least.
type receiver struct {
	name      string
	targets   []target
	slack     []int // indexes of the slack_configs that were taken over
	pagerduty []int
}

// target is a line of the Tocsin config.
type target struct {
	kind, name string
	with       [][2]string // keys and values, in order
	must       []string    // what a human must do about it
}

type named struct {
	target
	id string // what makes it the same target in two receivers
}

func read(path string) (string, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > config.MaxFile {
		return "", &config.Mistake{File: path, Text: fmt.Sprintf("file is over %d bytes", config.MaxFile)}
	}
	raw, err := os.ReadFile(path)
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return "", &config.Mistake{File: path, Text: fmt.Sprintf("cannot be read: %v", e.Err)}
	}
	return string(raw), err
}

// mistake gives an error of Alertmanager's the line it is about: the one it
// names, or the one where what it quotes stands.
func mistake(path string, doc *yaml.Node, err error) error {
	var out []error
	for _, m := range regexp.MustCompile(`line (\d+): ([^\n]+)`).FindAllStringSubmatch(err.Error(), -1) {
		line, _ := strconv.Atoi(m[1])
		out = append(out, &config.Mistake{File: path, Line: line, Text: m[2]})
	}
	if len(out) > 0 {
		return errors.Join(out...)
	}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	one := &config.Mistake{File: path, Text: text}
	if m := regexp.MustCompile(`"([^"]+)"`).FindStringSubmatch(text); m != nil && doc != nil {
		one.Line = lineOf(doc, m[1])
	}
	return one
}

// lineOf is where a value stands last: a name is defined first and used, wrongly
// perhaps, after that.
func lineOf(n *yaml.Node, value string) int {
	line := 0
	if n.Kind == yaml.ScalarNode && n.Value == value {
		line = n.Line
	}
	for _, c := range n.Content {
		line = max(line, lineOf(c, value))
	}
	return line
}

// plain makes a name one that can be a target's and a file's.
func plain(name string) string {
	s := regexp.MustCompile(`[^A-Za-z0-9._-]+`).ReplaceAllString(strings.TrimLeft(name, "#@"), "-")
	return cmp.Or(strings.Trim(s, "-."), "target")
}

// once returns the name, or name-2, name-3 …: the first that is not taken.
func once(name string, taken func(string) bool) string {
	for i, try := 2, name; ; i++ {
		if !taken(try) {
			return try
		}
		try = fmt.Sprintf("%s-%d", name, i)
	}
}

// line makes text from outside one line of a comment or a list.
func line(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)), " ")
}
