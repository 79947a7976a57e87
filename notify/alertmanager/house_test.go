package alertmanager_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/alertmanager"
	"github.com/tocsin/tocsin/page"
)

const secret = "s3cret-0f-the-service"

// request is one that a fake service has read.
type request struct {
	Method, Path, Query, Body string
	Header                    http.Header
}

// service is any HTTP service: it takes down what it reads and says yes the way
// each of them does.
type service struct {
	*httptest.Server
	Faults *fault.Injector
	mu     sync.Mutex
	got    []request
}

func newService(t testing.TB) *service {
	s := &service{Faults: fault.New(1)}
	s.Server = httptest.NewServer(s.Faults.Wrap(http.HandlerFunc(s.serve)))
	t.Cleanup(func() { s.Faults.Clear(); s.Close() })
	return s
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.got = append(s.got, request{r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header.Clone()})
	s.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/gettoken"):
		_, _ = io.WriteString(w, `{"access_token":"short-lived"}`)
	case strings.HasSuffix(r.URL.Path, "/sendMessage"):
		_, _ = io.WriteString(w, `{"ok":true,"result":{"message_id":1,"chat":{"id":42}}}`)
	case strings.HasSuffix(r.URL.Path, "/search"):
		_, _ = io.WriteString(w, `{"issues":[]}`)
	case strings.Contains(string(body), "Action=Publish"):
		w.Header().Set("Content-Type", "text/xml")
		_, _ = io.WriteString(w, `<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`)
	case strings.Contains(r.URL.Path, "/discord"):
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ok":true,"success":true,"errcode":0,"status":"success"}`)
	}
}

func (s *service) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.got...)
}

// posts leaves out what only asks.
func (s *service) posts() []request {
	var out []request
	for _, r := range s.requests() {
		if r.Method != http.MethodGet && !strings.HasSuffix(r.Path, "/search") {
			out = append(out, r)
		}
	}
	return out
}

// lists is a receiver of each kind that Alertmanager has; URL, and the names of
// files with an address and a token, stand in capitals.
func lists() map[string]string {
	return map[string]string{
		"discord":    `[{webhook_url_file: HOOK/discord}]`,
		"incidentio": `[{url_file: HOOK/incidentio, alert_source_token_file: TOKEN}]`,
		"jira":       `[{api_url: URL/rest/api/2, project: OPS, issue_type: Bug, http_config: {authorization: {credentials_file: TOKEN}}}]`,
		"mattermost": `[{webhook_url_file: HOOK/mattermost, text: '{{ template "tocsin.text" . }}'}]`,
		"msteams":    `[{webhook_url_file: HOOK/msteams}]`,
		"msteamsv2":  `[{webhook_url_file: HOOK/msteamsv2}]`,
		"opsgenie":   `[{api_url: URL/, api_key_file: TOKEN}]`,
		"pagerduty":  `[{url: URL/v2/enqueue, routing_key_file: TOKEN}]`,
		"pushover":   `[{token_file: TOKEN, user_key_file: TOKEN}]`,
		"rocketchat": `[{api_url: URL, token_id_file: TOKEN, token_file: TOKEN, channel: ops}]`,
		"slack":      `[{api_url_file: HOOK/slack, channel: ops, text: '{{ template "tocsin.text" . }}'}]`,
		"sns":        `[{api_url: URL, topic_arn: 'arn:aws:sns:eu-west-1:1:ops', sigv4: {region: eu-west-1, access_key: AKIA0000, secret_key: s3cret-0f-the-service}}]`,
		"telegram":   `[{api_url: URL, bot_token_file: TOKEN, chat_id: 42}]`,
		"victorops":  `[{api_url: URL/, api_key_file: TOKEN, routing_key: ops}]`,
		"webex":      `[{api_url: URL/v1/messages, room_id: ops, http_config: {authorization: {credentials_file: TOKEN}}}]`,
		"webhook":    `[{url_file: HOOK/webhook}]`,
		"wechat":     `[{api_url: URL/cgi-bin/, corp_id: corp, api_secret_file: TOKEN, to_party: '1', agent_id: '1'}]`,
	}
}

// section is the config of a kind at base.
func section(t testing.TB, kind, base string) *alertmanager.Config {
	t.Helper()
	return decode(t, write(t, base, "receiver:\n  "+kind+"_configs: "+lists()[kind]+"\n"))
}

// write puts a section and the files it names into a folder, and returns its path.
func write(t testing.TB, base, text string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte(secret), 0o600))
	for kind := range lists() {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "hook-"+kind), []byte(base+"/"+kind+"/"+secret+"\n"), 0o600))
	}
	text = strings.NewReplacer("HOOK/", "hook-", "TOKEN", "token", "URL", base).Replace(text)
	path := filepath.Join(dir, "with.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func decode(t testing.TB, path string) *alertmanager.Config {
	t.Helper()
	s, err := config.Read(path)
	require.NoError(t, err)
	c := alertmanager.Kind().Config().(*alertmanager.Config)
	require.NoError(t, s.Decode(c))
	return c
}

func build(t testing.TB, c *alertmanager.Config) notify.Notifier {
	t.Helper()
	if os.Getenv("AWS_CA_BUNDLE") != "" {
		require.NoError(t, os.Unsetenv("AWS_CA_BUNDLE")) // with it the SDK makes itself a client of another type
	}
	n, err := alertmanager.Kind().New(c, deps())
	require.NoError(t, err)
	return n
}

func deps() notify.Deps {
	return notify.Deps{Name: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now, PublicURL: "https://tocsin.example.org"}
}

// kind builds a notifier of a kind at a service.
func kind(t testing.TB, name string, s *service) notify.Notifier {
	t.Helper()
	n := build(t, section(t, name, s.URL))
	reroute(name, n, s.URL)
	return n
}

func open(p page.Page) notify.Message {
	r := page.Receipt{Delivery: notify.DeliveryID(p.Problem, p.Episode, "alertmanager/test"), Problem: p.Problem}
	return message(p, notify.VerbOpen, r)
}

func message(p page.Page, verb notify.Verb, r page.Receipt) notify.Message {
	m := notify.Message{Verb: verb, Page: p, Receipt: r, PageURL: "https://tocsin.example.org/page/" + p.Problem}
	m.Text = notify.Compose(m, time.Now())
	return m
}

// reroute is for the one kind that has its address built in.
func reroute(name string, n notify.Notifier, base string) {
	if name == "pushover" {
		alertmanager.Reroute(n, base)
	}
}
