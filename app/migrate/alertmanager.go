package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	amconfig "github.com/prometheus/alertmanager/config"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
)

// inboundToken is what Alertmanager shows at Tocsin's door; both read it from
// this file, each from its own folder.
const inboundToken = secretsDir + "/alertmanager.token"

// rewrite makes the alertmanager.yml in which each receiver that Tocsin took
// over has a webhook to Tocsin in place of what was taken over. Everything else,
// comments too, stays as it is.
func (m *migration) rewrite() error {
	for _, r := range m.receivers {
		for list, items := range r.taken {
			drop(r.node, list, items)
		}
		if err := m.addWebhook(r.node); err != nil {
			return err
		}
	}
	text, err := encode(m.root)
	if err != nil {
		return err
	}
	if err := m.sameRoutes(text); err != nil {
		return err
	}
	hide(m.root, secretsOf(reflect.ValueOf(m.am)))
	shown, err := encode(m.root)
	if err != nil {
		return err
	}
	m.res.Files = append(m.res.Files, File{
		Path: filepath.Join(filepath.Dir(m.o.Out), "alertmanager.tocsin.yml"),
		Text: text, Shown: shown, Mode: secretMode, // it holds what secrets the original has inline
	})
	return nil
}

// sameRoutes proves that Alertmanager reads the new file and routes as before.
func (m *migration) sameRoutes(text string) error {
	am, err := amconfig.Load(text)
	if err != nil {
		return fmt.Errorf("the result does not load: %w", err)
	}
	var was, is []byte
	if was, err = yaml.Marshal(plainRoute(m.am.Route)); err != nil {
		return err
	}
	if is, err = yaml.Marshal(plainRoute(am.Route)); err != nil {
		return err
	}
	if !bytes.Equal(was, is) {
		return errors.New("the result would route otherwise")
	}
	return nil
}

// plainRoute is a route without what only Alertmanager's own encoder can write.
func plainRoute(r *amconfig.Route) map[string]any {
	out := map[string]any{
		"receiver": r.Receiver, "group_by": r.GroupByStr, "continue": r.Continue,
		"matchers": fmt.Sprint(r.Matchers), "match": fmt.Sprint(r.Match), "match_re": fmt.Sprint(r.MatchRE),
		"mute": r.MuteTimeIntervals, "active": r.ActiveTimeIntervals,
		"times": fmt.Sprint(r.GroupWait, r.GroupInterval, r.RepeatInterval), "labels": r.Labels.String(),
	}
	var routes []any
	for _, sub := range r.Routes {
		routes = append(routes, plainRoute(sub))
	}
	out["routes"] = routes
	return out
}

const maxNodes = 1 << 20

// written returns the document with its aliases and merges written out, so that
// a part can be taken away on which others lean.
func written(doc *yaml.Node) (*yaml.Node, error) {
	left := maxNodes
	var expand func(n *yaml.Node) *yaml.Node
	expand = func(n *yaml.Node) *yaml.Node {
		if left--; left < 0 || n == nil {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
		}
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		c := *n
		c.Anchor, c.Content = "", nil
		for _, child := range n.Content {
			c.Content = append(c.Content, expand(child))
		}
		if c.Kind == yaml.MappingNode {
			c.Content = merged(c.Content)
		}
		return &c
	}
	out := expand(doc)
	if left < 0 {
		return nil, errors.New("its aliases grow beyond all bounds")
	}
	return out, nil
}

// merged writes out the keys that `<<` brings; those of the mapping itself win.
func merged(content []*yaml.Node) []*yaml.Node {
	var own, brought []*yaml.Node
	has := map[string]bool{}
	for i := 0; i+1 < len(content); i += 2 {
		if content[i].Tag == "!!merge" {
			brought = append(brought, content[i+1])
			continue
		}
		has[content[i].Value] = true
		own = append(own, content[i], content[i+1])
	}
	for len(brought) > 0 {
		b := brought[0]
		brought = brought[1:]
		if b.Kind == yaml.SequenceNode {
			brought = append(slices.Clone(b.Content), brought...)
			continue
		}
		for i := 0; i+1 < len(b.Content); i += 2 {
			if key := b.Content[i]; !has[key.Value] {
				has[key.Value] = true
				own = append(own, key, b.Content[i+1])
			}
		}
	}
	return own
}

func receiverNode(doc *yaml.Node, name string) *yaml.Node {
	list := child(child(doc, ""), "receivers")
	if list == nil {
		return nil
	}
	for _, r := range list.Content {
		if n := child(r, "name"); n != nil && n.Value == name {
			return r
		}
	}
	return nil
}

// child returns the value of a key of a mapping; "" is the content of a document.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || len(n.Content) == 0 {
		return nil
	}
	if n.Kind == yaml.DocumentNode {
		return n.Content[0]
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// drop takes items out of a list under a key, and the key when none is left.
func drop(n *yaml.Node, key string, items []int) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != key {
			continue
		}
		var left []*yaml.Node
		for j, item := range n.Content[i+1].Content {
			if !slices.Contains(items, j) {
				left = append(left, item)
			}
		}
		n.Content[i+1].Content = left
		if len(left) == 0 {
			n.Content = slices.Delete(n.Content, i, i+2)
		}
		return
	}
}

// addWebhook adds the webhook to Tocsin, with every key on which Tocsin leans
// written out.
func (m *migration) addWebhook(n *yaml.Node) error {
	type auth struct {
		CredentialsFile string `yaml:"credentials_file"`
	}
	type http struct {
		Authorization auth `yaml:"authorization,flow"`
	}
	var item yaml.Node
	have := child(n, "webhook_configs")
	if have != nil && slices.ContainsFunc(have.Content, func(c *yaml.Node) bool {
		u := child(c, "url")
		return u != nil && u.Value == m.webhook()
	}) {
		return nil
	}
	err := item.Encode(struct {
		URL          string `yaml:"url"`
		SendResolved bool   `yaml:"send_resolved"`
		MaxAlerts    int    `yaml:"max_alerts"`
		HTTPConfig   http   `yaml:"http_config"`
	}{m.webhook(), true, 0, http{auth{inboundToken}}})
	if err != nil {
		return err
	}
	if have != nil {
		have.Content = append(have.Content, &item)
		return nil
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "webhook_configs"},
		&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{&item}})
	return nil
}

func encode(n *yaml.Node) (string, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err := enc.Encode(n)
	return b.String(), errors.Join(err, enc.Close())
}

// hide replaces the values that Alertmanager knows as secrets.
func hide(n *yaml.Node, secrets map[string]bool) {
	if n.Kind == yaml.ScalarNode && n.Value != "" {
		u, err := url.Parse(n.Value)
		if secrets[n.Value] || err == nil && secrets[u.String()] {
			n.SetString(config.Secret("").String())
		}
	}
	for _, c := range n.Content {
		hide(c, secrets)
	}
}

// secretsOf collects what stands in the config's fields of secret types.
func secretsOf(v reflect.Value) map[string]bool {
	out := map[string]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		if strings.HasPrefix(v.Type().Name(), "Secret") { // Secret, SecretURL, SecretTemplateURL of several packages
			if v.Kind() == reflect.String {
				out[v.String()] = true
			} else if u, ok := reflect.TypeAssert[*url.URL](v.Field(0)); ok && u != nil {
				out[u.String()] = true
			}
			return
		}
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					walk(v.Field(i))
				}
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			for it := v.MapRange(); it.Next(); {
				walk(it.Value())
			}
		default:
		}
	}
	walk(v)
	delete(out, "")
	return out
}
