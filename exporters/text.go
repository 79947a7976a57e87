package exporters

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Type is the type of a metric family, in the words of the text format.
type Type string

// The types a Family may have. Only a Collector brings histograms.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Family is what all samples of one name share.
type Family struct {
	Name string
	Help string
	Type Type
	// Labels are the names of its labels, for the reference.
	Labels []string
}

// Text gathers the samples of one collection in the Prometheus text format,
// version 0.0.4. Its buffers are used again by the next collection. The frame
// may read it while a collector that missed its deadline still writes.
type Text struct {
	mu       sync.Mutex
	families map[string]*Lines
}

func newText() *Text { return &Text{families: map[string]*Lines{}} }

// Lines are the samples of one family.
type Lines struct {
	text *Text
	head []byte // # HELP and # TYPE, or empty where buf brings its own
	name string
	buf  []byte
}

// Family returns the lines of a family. Ask once per collection and family,
// not once per sample.
func (t *Text) Family(f *Family) *Lines {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.families[f.Name]
	if l == nil {
		l = &Lines{text: t, name: f.Name, head: appendHead(nil, f)}
		t.families[f.Name] = l
	}
	return l
}

// Uint adds a sample. labels are as AppendLabel writes them, separated by
// commas, without braces; they may be empty.
func (l *Lines) Uint(labels []byte, v uint64) {
	l.text.mu.Lock()
	l.start(labels)
	l.buf = strconv.AppendUint(l.buf, v, 10)
	l.buf = append(l.buf, '\n')
	l.text.mu.Unlock()
}

// Float adds a sample, with labels as of Uint.
func (l *Lines) Float(labels []byte, v float64) {
	l.text.mu.Lock()
	l.start(labels)
	l.buf = appendFloat(l.buf, v)
	l.buf = append(l.buf, '\n')
	l.text.mu.Unlock()
}

func (l *Lines) start(labels []byte) {
	l.buf = append(l.buf, l.name...)
	if len(labels) > 0 {
		l.buf = append(l.buf, '{')
		l.buf = append(l.buf, labels...)
		l.buf = append(l.buf, '}')
	}
	l.buf = append(l.buf, ' ')
}

// block adds a family that is text already, head and all.
func (t *Text) block(name string, raw []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.families[name]
	if l == nil {
		l = &Lines{text: t, name: name}
		t.families[name] = l
	}
	l.head = l.head[:0]
	l.buf = append(l.buf[:0], raw...)
}

// reset forgets the samples and keeps the buffers; families that had no sample
// are forgotten with their buffers.
func (t *Text) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.families, func(_ string, l *Lines) bool { return len(l.buf) == 0 })
	for _, l := range t.families {
		l.buf = l.buf[:0]
	}
}

// render writes the families of several texts in order of their names. A family
// is exposed once: where two texts have it, the first one's is.
func render(dst []byte, texts ...*Text) []byte {
	owner := map[string]*Text{}
	for _, t := range texts {
		t.mu.Lock()
		for name, l := range t.families {
			if len(l.buf) > 0 && owner[name] == nil {
				owner[name] = t
			}
		}
		t.mu.Unlock()
	}
	for _, name := range slices.Sorted(maps.Keys(owner)) {
		t := owner[name]
		t.mu.Lock()
		l := t.families[name]
		dst = append(dst, l.head...)
		dst = append(dst, l.buf...)
		t.mu.Unlock()
	}
	return dst
}

func appendHead(dst []byte, f *Family) []byte {
	help := strings.NewReplacer("\\", `\\`, "\n", `\n`).Replace(f.Help)
	dst = append(dst, "# HELP "+f.Name+" "+help+"\n# TYPE "+f.Name+" "+string(f.Type)+"\n"...)
	return dst
}

func appendFloat(dst []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(dst, "+Inf"...)
	case math.IsInf(v, -1):
		return append(dst, "-Inf"...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

// AppendLabel adds name="value" to labels, with a comma before it where there
// are some already. The value is escaped; bytes that are not UTF-8 become U+FFFD.
func AppendLabel[V string | []byte](labels []byte, name string, value V) []byte {
	if len(labels) > 0 {
		labels = append(labels, ',')
	}
	labels = append(labels, name...)
	labels = append(labels, '=', '"')
	for i := 0; i < len(value); {
		c := value[i]
		switch {
		case c == '\\' || c == '"':
			labels = append(labels, '\\', c)
		case c == '\n':
			labels = append(labels, '\\', 'n')
		case c < utf8.RuneSelf:
			labels = append(labels, c)
		default:
			r, size := utf8.DecodeRune([]byte(value[i:min(len(value), i+utf8.UTFMax)]))
			labels = utf8.AppendRune(labels, r)
			i += size
			continue
		}
		i++
	}
	return append(labels, '"')
}
