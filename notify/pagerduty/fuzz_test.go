package pagerduty_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/page"
)

// ears is a notifier that only listens.
func ears(f *testing.F) notify.Caller {
	f.Helper()
	write := func(name, text string) config.SecretFile {
		path := filepath.Join(f.TempDir(), name)
		require.NoError(f, os.WriteFile(path, []byte(text), 0o600))
		return config.SecretFile(path)
	}
	c := pagerduty.Kind().Config().(*pagerduty.Config)
	c.RoutingKeyFile = write("key", fakepagerduty.DefaultKey)
	c.WebhookSecretFiles = []config.SecretFile{write("secret", secret)}
	n, err := pagerduty.Kind().New(c, notify.Deps{Name: "ops", Transport: &http.Transport{}, Now: began, Log: slog.New(slog.DiscardHandler)})
	require.NoError(f, err)
	return n.(notify.Caller)
}

func answer(n notify.Caller, d notify.Desk, body []byte, signature string) int {
	req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	req.Header["X-Pagerduty-Signature"] = []string{signature}
	res := httptest.NewRecorder()
	n.Callback(d).ServeHTTP(res, req)
	return res.Code
}

func FuzzWebhook(f *testing.F) {
	n := ears(f)
	for _, body := range []string{
		webhookBody("incident.acknowledged", `{"id":"Q1","incident_key":"`+delivery+`"}`),
		webhookBody("incident.annotated", `{"content":"x\ntocsin 0123456789abcdef/1","incident":{"id":"Q1"},"incident_key":"`+delivery+`"}`),
		webhookBody("incident.reassigned", `{"incident_key":"`+delivery+`","assignees":[{"summary":"Ann"},{}]}`),
		webhookBody("incident.priority_updated", `{"incident_key":"`+delivery+`","priority":null}`),
		webhookBody("incident.resolved", `{"incident_key":"`+delivery+`"}`),
		`{"event":{"event_type":"incident.unacknowledged","agent":null,"occurred_at":"x"}}`, `{}`, `null`, ``, "\xff",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := &desk{receipts: []page.Receipt{{Delivery: delivery, Problem: "p", Episode: 1}}}
		sign := fakepagerduty.Sign(body, secret)
		if len(body) <= 256<<10 {
			require.Equal(t, http.StatusAccepted, answer(n, d, body, sign), "what PagerDuty signed is never refused")
			require.Equal(t, http.StatusUnauthorized, answer(n, d, body, fakepagerduty.Sign(body, "x")))
		}
		answer(n, d, body, sign)
		require.LessOrEqual(t, len(d.events), 1, "a repeat is one event")
		for _, e := range d.events {
			require.NotEmpty(t, e.Act.By)
			require.LessOrEqual(t, len([]rune(e.Act.By)), 80)
			require.Equal(t, e.Act.Text, notify.Clean(e.Act.Text, 1100))
			require.NotContains(t, e.ID[len(target)+1:], "/")
		}
	})
}

func FuzzSignatureHeader(f *testing.F) {
	n := ears(f)
	body := webhookBody("pagey.ping", `{}`)
	good := fakepagerduty.Sign([]byte(body), secret)
	for _, h := range []string{good, good + ",v1=00", "v1=", "v1=,", " ,v2=" + good[3:], strings.ToUpper(good), "\x00", strings.Repeat(",", 1000)} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, header string) {
		want := http.StatusUnauthorized
		for i, part := range strings.Split(header, ",") {
			part = strings.TrimSpace(part)
			if i < 16 && strings.HasPrefix(part, "v1=") && bytes.EqualFold([]byte(part), []byte(good)) {
				want = http.StatusAccepted
			}
		}
		got := answer(n, &desk{}, []byte(body), header)
		if strings.Count(header, ",") < 16 {
			require.Equal(t, want, got)
		}
	})
}
