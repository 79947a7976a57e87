package awx

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remote"
)

// answers are what a server may say, well and badly.
func answers() []string {
	return []string{
		`{"job":42,"ignored_fields":{},"id":42,"limit":"web01","job_template":7,"inventory":2,"job_type":"run","status":"pending","extra_vars":"{\"tocsin\":{\"dispatch_id\":\"D-1\"}}"}`,
		`{"job":42,"ignored_fields":{"limit":"web01"},"limit":"","job_template":7,"inventory":2}`,
		`{"workflow_job":77,"ignored_fields":{},"limit":"web01","inventory":null,"workflow_job_template":9}`,
		`{"job":-1}`, `{"job":0,"workflow_job":0}`, `{"job":1e99}`, `{"job":"42"}`, `[]`, `null`, `{}`, ``, `{"job":42`, `{"job":42,"ignored_fields":null}`,
		`{"job":42,"ignored_fields":[],"limit":5}`, `{"job":42,"created":"yesterday"}`, `{"count":1,"next":"https://evil.example/","results":[{"id":1}]}`,
		`{"count":0,"results":[]}`, `{"results":[]}`, `{"count":3,"results":null}`, `{"detail":"\u001b[31mno\u0000"}`, `{"limit":["Not a valid string."]}`,
		`{"JOB":43,"job":42,"Limit":"all","limit":"web01"}`, "\xff\xfe", strings.Repeat(`{"a":`, 1000),
	}
}

// FuzzLaunched: whatever is answered, a launch counts as one only if the answer
// says all of what was asked for.
func FuzzLaunched(f *testing.F) {
	for _, a := range answers() {
		f.Add([]byte(a), "application/json")
	}
	f.Add([]byte("{}"), "text/html; charset=utf-8")
	f.Add([]byte(answers()[0]), "application/json; charset")
	s := &server{api: &client{now: time.Now}, link: "https://awx.example.org/#/jobs/{kind}/{id}"}
	l := remediate.Launch{
		Template: remediate.Template{ID: 7, Kind: "job", Inventory: 2, AskLimit: true, AskVariables: true}, Limit: "web01", Dispatch: "D-1",
		Claim: remediate.Claim{URL: "https://tocsin.example.org", Token: config.Secret("claim-token")},
	}
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		res := remote.Response{Status: http.StatusCreated, Header: http.Header{"Content-Type": {kind}}, Body: body}
		j, err := s.launched(l, res)
		_, unsafe := errors.AsType[*remediate.Unsafe](err)
		switch {
		case err == nil:
			if j.ID <= 0 || j.Kind != "job" || j.Limit != "web01" || !strings.HasPrefix(kind, "application/json") && !strings.EqualFold(strings.TrimSpace(strings.SplitN(kind, ";", 2)[0]), "application/json") {
				t.Fatalf("%q %q: believed: %+v", kind, body, j)
			}
		case unsafe && j.ID <= 0:
			t.Fatalf("%q: unsafe without a job", body)
		case !unsafe && j.ID != 0:
			t.Fatalf("%q: a job beside %v", body, err)
		}
		shown(t, j.Why+j.Limit)
		if err != nil {
			shown(t, strings.ReplaceAll(err.Error(), "\n", ""))
		}
		shown(t, reason(res))
	})
}

func shown(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		t.Fatalf("not fit to be shown: %q", s)
	}
}

// FuzzOrder: no value makes a launch of more than one host, or of a variable
// that means something.
func FuzzOrder(f *testing.F) {
	for _, limit := range []string{"web01", "", "all", "web01:db01", "{{x}}", "::1", "WEB01", "web01\n", "a..b", "10.0.0.1", "@x", "-i"} {
		f.Add(limit, "svc", "checkout", "D-1", "https://tocsin.example.org/p/1", true)
	}
	f.Add("web01", "ansible_connection", "local", "D-1", "", true)
	f.Add("web01", "tocsin", "{{ x }}", "D-1", "", false)
	f.Add("web01", "a", "x\ny", "", "", true)
	name := regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
	f.Fuzz(func(t *testing.T, limit, variable, value, dispatch, link string, ask bool) {
		l := remediate.Launch{
			Template: remediate.Template{ID: 7, Kind: "job", Inventory: 2, AskLimit: ask, AskVariables: true, Survey: map[string]any{"preset": "x"}},
			Limit:    limit, Dispatch: dispatch, Link: link, Variables: map[string]any{variable: value},
		}
		o, err := orderOf(l)
		if err != nil {
			shown(t, err.Error())
			return
		}
		raw, err := encode(o)
		if err != nil {
			t.Fatal(err)
		}
		var sent struct {
			Limit *string        `json:"limit"`
			Vars  map[string]any `json:"extra_vars"`
		}
		if err := json.Unmarshal(raw, &sent); err != nil {
			t.Fatal(err)
		}
		if ask != (sent.Limit != nil) || ask && (*sent.Limit != limit || !name.MatchString(limit) || limit == "all" || len(limit) > 253) {
			t.Fatalf("limit %q was sent as %s", limit, raw)
		}
		if len(sent.Vars) > 3 || sent.Vars["tocsin"].(map[string]any)["dispatch_id"] != dispatch || dispatch == "" {
			t.Fatalf("%s", raw)
		}
		for k, v := range sent.Vars {
			s, _ := v.(string)
			if strings.HasPrefix(strings.ToLower(k), "ansible_") || strings.Contains(s, "{{") || strings.Contains(s, "{%") || strings.ContainsAny(s, "\r\n\x00") {
				t.Fatalf("%s", raw)
			}
		}
	})
}

// answered is a way to a server that says the same to everything.
type answered struct {
	kind string
	body []byte
}

func (a answered) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {a.kind}}, Request: r, Body: io.NopCloser(bytes.NewReader(a.body)),
	}, nil
}

// FuzzFind: what is no list of jobs is no proof that there is none.
func FuzzFind(f *testing.F) {
	for _, a := range answers() {
		f.Add([]byte(a))
	}
	f.Add([]byte(`{"count":1,"results":[{"id":9,"extra_vars":"{\"tocsin\":{\"dispatch_id\":\"D-1\"}}"}]}`))
	f.Add([]byte(`{"count":2,"results":[{"id":9},{"id":9}]}`))
	f.Add([]byte(`{"count":0,"results":[],"results":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c := &client{
			name: "fuzz", base: &url.URL{Scheme: "https", Host: "awx.example.org"}, http: remote.New(answered{"application/json", body}, maxAnswer),
			auth: func(*http.Request) error { return nil }, timeout: time.Minute, slots: make(chan struct{}, 1), now: time.Now, prefix: "/api/v2/",
		}
		s := &server{api: c, link: "https://awx.example.org/{kind}/{id}"}
		found, err := s.Find(t.Context(), remediate.Template{ID: 7, Kind: "job"}, 0, "D-1")
		if err != nil {
			return
		}
		var l struct {
			Count   *int              `json:"count"`
			Results []json.RawMessage `json:"results"`
		}
		if json.Unmarshal(body, &l) != nil || l.Count == nil || *l.Count != len(l.Results) {
			t.Fatalf("%q counts as a list", body)
		}
		for i, j := range found {
			if j.ID <= 0 || i > 0 && j.ID < found[i-1].ID {
				t.Fatalf("%q: %+v", body, found)
			}
			shown(t, j.Limit+j.Why)
		}
	})
}

// FuzzTail: output of a job is shown as text of bounded length.
func FuzzTail(f *testing.F) {
	f.Add("ok: [web01]\nPLAY RECAP\n", 4096)
	f.Add("\x1b[31mred\x1b[0m\xff\u202e", 8)
	f.Add(strings.Repeat("é", 100), 7)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 1 + (limit&0xffff)%5000
		got := tail(s, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			t.Fatalf("%q", got)
		}
		line := clean(s, max(limit, 8))
		if len(line) > max(limit, 8) {
			t.Fatalf("%q", line)
		}
		shown(t, line)
		_ = marker(s)
	})
}
