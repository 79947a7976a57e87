package slack_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/page"
)

// peerTemplate says what Alertmanager's default Slack message says: a counted
// title, then every label and annotation of every alert.
const peerTemplate = `{{define "title"}}[{{.Status | upper}}:{{len .Alerts}}] {{.Title}}{{end}}
{{define "text"}}{{range .Alerts}}Labels:
{{range $n, $v := .Labels}} - {{$n}} = {{$v}}
{{end}}Annotations:
{{range $n, $v := .Annotations}} - {{$n}} = {{$v}}
{{end}}Source: {{.GeneratorURL}}
{{end}}{{end}}`

// BenchmarkMessage composes and renders one page, against the same alerts run
// through a parsed text/template and encoded.
func BenchmarkMessage(b *testing.B) {
	for _, alerts := range []int{3, 100} {
		p := notifytest.Page()
		for i := len(p.Alerts); i < alerts; i++ {
			l := p.Alerts[0].Labels.Clone()
			l["instance"] = fmt.Sprintf("web-%d:8080", i)
			p.Alerts = append(p.Alerts, page.Alert{ID: l.ID(), Labels: l, StartsAt: p.Clock.Started})
		}
		b.Run(fmt.Sprintf("ours/alerts=%d", alerts), func(b *testing.B) {
			n := open(b, "", section(b, "http://127.0.0.1:1", "xoxb-x")).(notify.Renderer)
			m := notify.Message{Verb: notify.VerbOpen, Page: p, Receipt: page.Receipt{Delivery: "d"}}
			for b.Loop() {
				m.Text = notify.Compose(m, time.Now())
				if _, err := n.Render(m); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("peer/alerts=%d", alerts), func(b *testing.B) {
			tmpl := template.Must(template.New("").Funcs(template.FuncMap{
				"upper": func(s string) string { return strings.ToUpper(s) },
			}).Parse(peerTemplate))
			data := struct {
				Status, Title string
				Alerts        []page.Alert
			}{"firing", p.Title, p.Alerts}
			for b.Loop() {
				var title, text strings.Builder
				require.NoError(b, tmpl.ExecuteTemplate(&title, "title", data))
				require.NoError(b, tmpl.ExecuteTemplate(&text, "text", data))
				require.NoError(b, json.NewEncoder(io.Discard).Encode(map[string]any{
					"channel": "C0PAGES", "attachments": []map[string]string{{"title": title.String(), "text": text.String(), "color": "danger"}}, //nolint:misspell // Slack's word
				}))
			}
		})
	}
}
