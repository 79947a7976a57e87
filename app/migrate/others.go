package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"unicode"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/pkg/labels"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
)

// caged is the kind that tells by Alertmanager's own notifiers.
const caged = "alertmanager"

// others takes over the lists of a receiver for which Tocsin has no kind of its
// own, in the order of the file.
func (m *migration) others(r *receiver) {
	for i := 0; i+1 < len(r.node.Content); i += 2 {
		list, items := r.node.Content[i].Value, r.node.Content[i+1]
		if !strings.HasSuffix(list, "_configs") || list == "slack_configs" || list == "pagerduty_configs" {
			continue
		}
		for j := range items.Content {
			m.other(r, list, j, "")
		}
	}
}

// other makes a target of kind alertmanager of an integration, or says why it
// stays; because says why it is none of Tocsin's own kinds.
func (m *migration) other(r *receiver, list string, i int, because string) {
	item := child(r.node, list).Content[i]
	at := fmt.Sprintf("%s:%d: receiver %q: %s[%d]", m.o.From, item.Line, r.name, list, i)
	t, id, why := m.asItIs(r.name, list, item)
	if why != "" {
		m.stays("%s: %s", at, why)
		return
	}
	if because != "" {
		m.lost(line(at + ": " + because + ": Alertmanager's own notifier tells it, which edits nothing (docs/targets.md)"))
	}
	m.lost("repeats (repeat_interval) of mails, webhooks and the like: Tocsin tells the begin, what got worse, and the end; a machine that leans on repeats is better left with Alertmanager")
	r.taken[list] = append(r.taken[list], i)
	m.add(r, t, id)
}

// asItIs says an integration as a target with the same lines; why says why it
// cannot be one.
func (m *migration) asItIs(of, list string, item *yaml.Node) (t target, id, why string) {
	kind := strings.TrimSuffix(list, "_configs")
	if item.Kind != yaml.MappingNode {
		return t, "", "it is empty"
	}
	if m.beats[of] {
		return t, "", "a heartbeat leans on repeats, which Tocsin does not send (docs/watch.md says how Tocsin listens to one)"
	}
	if u := child(item, "url"); kind == "webhook" && u != nil && u.Value == m.webhook() {
		return t, "", "it leads to Tocsin already"
	}
	if u := child(child(item, "sigv4"), "use_aws_http_client"); u != nil && u.Value == "true" {
		return t, "", "use_aws_http_client cannot be watched; tls_config does the same (docs/targets.md)"
	}
	name := plain(of) + "-" + kind
	p := &part{m: m, name: name}
	with, err := p.with(list, item)
	if err == nil && m.o.Accepts != nil {
		var text string
		if text, err = encode(with); err == nil {
			err = m.o.Accepts([]byte(text))
		}
	}
	if err != nil {
		return t, "", strings.ReplaceAll(plainly(err), "\n", "; ")
	}
	p.settle()
	text, err := encode(with)
	if err != nil {
		return t, "", err.Error()
	}
	return target{kind: caged, name: name, block: with}, caged + "\x00" + text, ""
}

// plainly is an error without the places in a text that nobody sees.
func plainly(err error) string {
	m, ok := errors.AsType[*config.Mistake](err)
	if !ok {
		return err.Error()
	}
	return m.Text
}

// with makes the section of a target: the integration, what of the global block
// it leans on, and the templates. Secrets and files get their names by settle.
func (p *part) with(list string, item *yaml.Node) (*yaml.Node, error) {
	own, err := copied(item)
	if err != nil {
		return nil, err
	}
	p.visit(own, itemType(list), "")
	out := mapping("receiver", mapping(list, &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{own}}))
	global, err := copied(p.m.global(strings.TrimSuffix(list, "_configs"), item))
	if err != nil {
		return nil, err
	}
	if len(global.Content) > 0 {
		p.name = ""
		p.visit(global, reflect.TypeFor[amconfig.GlobalConfig](), "global")
		out.Content = append(out.Content, scalar("global"), global)
	}
	if globs := p.m.templates; len(globs) > 0 {
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, g := range globs {
			list.Content = append(list.Content, scalar(g))
		}
		out.Content = append(out.Content, scalar("templates"), list)
	}
	out.Content = append(out.Content, scalar("external_url"), scalar(cmp.Or(p.m.o.ExternalURL, defaultExternalURL)))
	return out, errors.Join(p.errs...)
}

// global is what of the global block an integration leans on.
func (m *migration) global(kind string, item *yaml.Node) *yaml.Node {
	out := mapping()
	g := child(child(m.root, ""), "global")
	if g == nil || g.Kind != yaml.MappingNode {
		return out
	}
	prefix := kind + "_"
	switch {
	case kind == "email":
		prefix = "smtp_"
	case kind == "slack" && child(item, "api_url") != nil: // its own address is not told with the global token
		prefix = "none"
	}
	for i := 0; i+1 < len(g.Content); i += 2 {
		if key := g.Content[i].Value; strings.HasPrefix(key, prefix) || key == "http_config" && kind != "email" {
			out.Content = append(out.Content, g.Content[i], g.Content[i+1])
		}
	}
	return out
}

// globs are the templates that are there, absolute.
func (m *migration) globs() []string {
	var out []string
	for _, t := range m.am.Templates {
		path := m.absolute(t)
		if found, err := filepath.Glob(path); err != nil || len(found) == 0 {
			at := 0
			if list := child(child(m.root, ""), "templates"); list != nil {
				at = lineOf(list, t)
			}
			m.lost(line(fmt.Sprintf("%s:%d: templates: no file is there for %s; templates of that name would be missing", m.o.From, at, t)))
			continue
		}
		out = append(out, path)
	}
	return out
}

// beating notes of each receiver whether nothing but a heartbeat leads to it:
// an alert that fires so that somebody notices when it does not.
func beating(r *amconfig.Route, inherited string, within bool, out map[string]bool) {
	name := cmp.Or(r.Receiver, inherited)
	within = within || heartbeat(r)
	if was, known := out[name]; !known || was {
		out[name] = within
	}
	for _, sub := range r.Routes {
		beating(sub, name, within, out)
	}
}

func heartbeat(r *amconfig.Route) bool {
	values := []string{r.Match["alertname"]}
	if re, ok := r.MatchRE["alertname"]; ok && re.Regexp != nil {
		values = append(values, re.String())
	}
	for _, m := range r.Matchers {
		if m.Name == "alertname" && (m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp) {
			values = append(values, m.Value)
		}
	}
	for _, v := range values {
		v = strings.Map(func(c rune) rune {
			if !unicode.IsLetter(c) {
				return -1
			}
			return unicode.ToLower(c)
		}, v)
		for _, name := range []string{"watchdog", "deadman", "heartbeat"} {
			if strings.Contains(v, name) {
				return true
			}
		}
	}
	return false
}

func (m *migration) webhook() string {
	return strings.TrimRight(m.o.URL, "/") + "/webhook/alertmanager"
}

// password reports whether an address that is no secret to Alertmanager holds one.
func password(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.User == nil || u.Host == "" {
		return false
	}
	_, has := u.User.Password()
	return has
}

func scalar(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode}
	n.SetString(s)
	return n
}

func mapping(kv ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(kv); i += 2 {
		n.Content = append(n.Content, scalar(kv[i].(string)), kv[i+1].(*yaml.Node))
	}
	return n
}

// copied is n without its comments, which may hold anything.
func copied(n *yaml.Node) (*yaml.Node, error) {
	out, err := written(n)
	if err != nil {
		return nil, err
	}
	var strip func(n *yaml.Node)
	strip = func(n *yaml.Node) {
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && brittle(n) {
			n.Style = yaml.DoubleQuotedStyle
		}
		for _, c := range n.Content {
			strip(c)
		}
	}
	strip(out)
	return out, nil
}

// brittle reports whether the encoder may write the text otherwise than it was
// read: it gets blocks wrong that are folded or begin with a blank.
func brittle(n *yaml.Node) bool {
	return n.Style&yaml.FoldedStyle != 0 || strings.TrimSpace(n.Value[:min(1, len(n.Value))]) == "" && strings.Contains(n.Value, "\n") ||
		strings.ContainsFunc(n.Value, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) })
}
