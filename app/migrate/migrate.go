// Package migrate writes a first config: a minimal one, or one that takes over
// the receivers of an alertmanager.yml: Slack and PagerDuty by Tocsin's own kinds,
// the rest by Alertmanager's notifiers. It says what a human must still do, and
// what goes on being sent by Alertmanager.
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

	ExternalURL string                  // Alertmanager's address as people open it; "": its own default, to be looked at
	Accepts     func(with []byte) error // what the kind alertmanager says of a section, files aside; nil: nothing
}

// defaultExternalURL is where Alertmanager is on the machine it runs on.
const defaultExternalURL = "http://localhost:9093"

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
	m := &migration{
		o: o, am: am, base: filepath.Dir(o.From),
		tokens: map[string]string{}, keys: map[string]string{}, values: map[string]string{}, beats: map[string]bool{},
	}
	if err := m.takeOver(&doc); err != nil {
		return nil, err
	}
	m.tune(&doc)
	text, err = m.tocsin()
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", o.Out, err)
	}
	m.res.Files = append(m.res.Files, File{Path: o.Out, Text: text, Mode: configMode})
	m.res.Files = append(m.res.Files, m.secrets...)
	return &m.res, nil
}

// takeOver makes targets of the receivers, and the alertmanager.yml without them.
func (m *migration) takeOver(doc *yaml.Node) error {
	var err error
	if m.root, err = written(doc); err != nil {
		return fmt.Errorf("read %s: %w", m.o.From, err)
	}
	m.templates = m.globs()
	beating(m.am.Route, "", false, m.beats)
	for _, r := range m.am.Receivers {
		if err := m.receiver(r); err != nil {
			return fmt.Errorf("read %s: %w", m.o.From, err)
		}
	}
	if len(m.receivers) == 0 {
		return &config.Mistake{File: m.o.From, Text: "no receiver has anything that Tocsin could take over: " + strings.Join(m.res.Stays, "; ")}
	}
	if err := m.rewrite(); err != nil {
		return fmt.Errorf("rewrite %s: %w", m.o.From, err)
	}
	return nil
}

// migration is one alertmanager.yml on its way.
type migration struct {
	o         Options
	am        *amconfig.Config
	root      *yaml.Node // the file, with its aliases written out
	base      string     // folder of the alertmanager.yml
	res       Result
	receivers []receiver
	secrets   []File
	tokens    map[string]string // what a Slack config authenticates with, to its file
	keys      map[string]string // what a PagerDuty config authenticates with, to its file
	values    map[string]string // other secrets, to their files
	beats     map[string]bool   // receivers to which nothing but a heartbeat leads
	templates []string          // globs, absolute
	names     []named           // targets, each once
}

// receiver is one that Tocsin takes over, in part at least.
type receiver struct {
	name    string
	node    *yaml.Node
	targets []target
	taken   map[string][]int // indexes of what was taken over, by list
}

// target is a line of the Tocsin config.
type target struct {
	kind, name string
	with       [][2]string // keys and values, in order
	block      *yaml.Node  // in the place of with, where that is Alertmanager's
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
