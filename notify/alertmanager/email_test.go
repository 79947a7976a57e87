package alertmanager_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakesmtp"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// post is a mail server and a notifier that sends there, with STARTTLS and
// AUTH PLAIN. extra are further lines of the email config.
func post(t *testing.T, password string, extra ...string) (*fakesmtp.Server, notify.Notifier) {
	t.Helper()
	conf, ca, err := fakesmtp.Certificate()
	require.NoError(t, err)
	s, err := fakesmtp.New(t.Context(), fakesmtp.Options{Username: "tocsin", Password: secret, TLS: conf})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s, build(t, decode(t, mailConfig(t, s.Addr(), password, ca, extra...)))
}

func mailConfig(t *testing.T, addr, password string, ca []byte, extra ...string) string {
	t.Helper()
	path := write(t, "", fmt.Sprintf(`
receiver:
  email_configs:
    - to: 'ops@example.org, second@example.org'
      send_resolved: true
      tls_config: {ca_file: ca.pem}
      %s
global:
  smtp_smarthost: %s
  smtp_from: 'tocsin@example.org'
  smtp_auth_username: tocsin
  smtp_auth_password_file: password
templates: ['*.tmpl']
`, strings.Join(extra, "\n      "), addr))
	for name, text := range map[string]string{
		"ca.pem": string(ca), "password": password + "\n",
		"ours.tmpl": `{{ define "ours.subject" }}{{ .CommonAnnotations.tocsin_headline }} ({{ .GroupLabels.service }}){{ end }}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), name), []byte(text), 0o600))
	}
	return path
}

func subject(t *testing.T, m fakesmtp.Mail) string {
	t.Helper()
	s, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	require.NoError(t, err)
	return s
}

// html returns the decoded part of a mail.
func html(t *testing.T, m fakesmtp.Mail) string {
	t.Helper()
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	require.NoError(t, err)
	part, err := multipart.NewReader(strings.NewReader(m.Body), params["boundary"]).NextRawPart()
	require.NoError(t, err)
	b, err := io.ReadAll(quotedprintable.NewReader(part))
	require.NoError(t, err)
	return string(b)
}

func grouped(p page.Page) page.Page {
	p.GroupLabels = page.Labels{"cluster": "eu", "service": "checkout"}
	return p
}

func TestMail(t *testing.T) {
	s, n := post(t, secret)
	r, err := n.Notify(t.Context(), open(grouped(notifytest.Page())))
	require.NoError(t, err)
	require.Equal(t, "email[0]", r.Ref)
	_, err = n.Notify(t.Context(), message(grouped(notifytest.Resolved()), notify.VerbResolve, r))
	require.NoError(t, err)

	mails := s.Mails()
	require.Len(t, mails, 2)
	m := mails[0]
	require.True(t, m.TLS)
	require.Equal(t, "tocsin", m.User)
	require.Equal(t, []string{"ops@example.org", "second@example.org"}, m.To)
	require.Equal(t, "[FIRING:3] eu checkout (CheckoutErrors critical)", subject(t, m), "as Alertmanager would call it")
	body := html(t, m)
	require.Less(t, strings.Index(body, "38 of 40 failing share deploy=v42"), strings.Index(body, "instance = web-1:8080"), "the answer comes first")
	require.Equal(t, 1, strings.Count(body, "38 of 40"), "and once")
	require.Contains(t, body, "https://tocsin.example.org/page/")
	require.Equal(t, "[RESOLVED] eu checkout (CheckoutErrors critical)", subject(t, mails[1]))
	require.NotEqual(t, m.Header.Get("Message-Id"), mails[1].Header.Get("Message-Id"))
}

func TestMarksStandInTheSubject(t *testing.T) {
	s, n := post(t, secret)
	p := grouped(notifytest.Page())
	p.Test = true
	m := open(p)
	m.Repeat = true
	_, err := n.Notify(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, "TEST PAGE · possible repeat · [FIRING:3] eu checkout (CheckoutErrors critical)", subject(t, s.Mails()[0]))
}

func TestTemplatesOfTheUser(t *testing.T) {
	s, n := post(t, secret, `headers: {Subject: '{{ template "ours.subject" . }}'}`)
	_, err := n.Notify(t.Context(), open(grouped(notifytest.Page())))
	require.NoError(t, err)
	require.Equal(t, "38 of 40 failing share deploy=v42 (6 % of healthy do) (checkout)", subject(t, s.Mails()[0]))
}

// A mail is accepted with the answer to its last line and no sooner.
func TestMailAtEachStep(t *testing.T) {
	for name, tc := range map[string]struct {
		step  string
		fault fakesmtp.Fault
		want  remote.Class
		mails int
	}{
		"greeting 421":       {fakesmtp.Connect, fakesmtp.Fault{Code: 421}, remote.NotSent, 0},
		"greeting 554":       {fakesmtp.Connect, fakesmtp.Fault{Code: 554}, remote.Config, 0},
		"dropped at once":    {fakesmtp.Connect, fakesmtp.Fault{Drop: true}, remote.NotSent, 0},
		"no TLS today":       {"STARTTLS", fakesmtp.Fault{Code: 454}, remote.NotSent, 0},
		"no auth now":        {"AUTH", fakesmtp.Fault{Code: 454}, remote.NotSent, 0},
		"sender greylisted":  {"MAIL", fakesmtp.Fault{Code: 451}, remote.NotSent, 0},
		"sender refused":     {"MAIL", fakesmtp.Fault{Code: 553}, remote.Config, 0},
		"mailbox busy":       {"RCPT", fakesmtp.Fault{Code: 450}, remote.NotSent, 0},
		"no such mailbox":    {"RCPT", fakesmtp.Fault{Code: 550}, remote.Config, 0},
		"dropped at RCPT":    {"RCPT", fakesmtp.Fault{Drop: true}, remote.NotSent, 0},
		"dropped at DATA":    {"DATA", fakesmtp.Fault{Drop: true}, remote.NotSent, 0},
		"full":               {fakesmtp.End, fakesmtp.Fault{Code: 452}, remote.NotSent, 0},
		"taken for spam":     {fakesmtp.End, fakesmtp.Fault{Code: 554}, remote.Content, 0},
		"dropped after DATA": {fakesmtp.End, fakesmtp.Fault{Drop: true}, remote.Unknown, 1},
		"slow":               {fakesmtp.End, fakesmtp.Fault{Delay: 50 * time.Millisecond}, "", 1},
		"dropped at QUIT":    {"QUIT", fakesmtp.Fault{Drop: true}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, n := post(t, secret)
			s.Set(tc.step, tc.fault)
			r, err := n.Notify(t.Context(), open(notifytest.Page()))
			if tc.want == "" {
				require.NoError(t, err)
				require.Equal(t, "email[0]", r.Ref)
			} else {
				require.Error(t, err)
				require.Equal(t, tc.want, remote.ClassOf(err), "%v", err)
				require.NotContains(t, err.Error(), secret)
				require.Empty(t, r.Ref)
			}
			require.Len(t, s.Mails(), tc.mails)
		})
	}
}

func TestMailThatCannotLeave(t *testing.T) {
	_, n := post(t, "wrong")
	_, err := n.Notify(t.Context(), open(notifytest.Page()))
	require.Equal(t, remote.Config, remote.ClassOf(err), "wrong password: %v", err)

	s, err := fakesmtp.New(t.Context(), fakesmtp.Options{})
	require.NoError(t, err)
	n = build(t, decode(t, mailConfig(t, s.Addr(), secret, nil)))
	_, err = n.Notify(t.Context(), open(notifytest.Page()))
	require.Equal(t, remote.Config, remote.ClassOf(err), "no STARTTLS: %v", err)
	require.NoError(t, s.Close())
	_, err = n.Notify(t.Context(), open(notifytest.Page()))
	require.Equal(t, remote.NotSent, remote.ClassOf(err), "nobody listens: %v", err)

	s, n = post(t, secret, `headers: {Subject: '{{ index .Alerts 99 }}'}`)
	_, err = n.Notify(t.Context(), open(notifytest.Page()))
	require.Equal(t, remote.Content, remote.ClassOf(err), "a template that fails: %v", err)
	require.Empty(t, s.Mails(), "nor was half of it sent")
}

// Its notifier heeds no deadline: the cage does, and says that it cannot know.
func TestMailThatHangs(t *testing.T) {
	s, n := post(t, secret)
	before := runtime.NumGoroutine()
	s.Set("DATA", fakesmtp.Fault{Hang: true})
	for range 8 {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := n.Notify(ctx, open(notifytest.Page()))
		cancel()
		require.Equal(t, remote.Unknown, remote.ClassOf(err), "%v", err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := n.Notify(ctx, open(notifytest.Page()))
	require.Equal(t, remote.NotSent, remote.ClassOf(err), "no ninth goes the same way: %v", err)
	s.Clear()
	require.Eventually(t, func() bool { return s.Open() == 0 && runtime.NumGoroutine() <= before+2 }, 20*time.Second, 10*time.Millisecond,
		"what hung is gone once the server lets go")
	_, err = n.Notify(t.Context(), open(notifytest.Page()))
	require.NoError(t, err)
}

// What comes from outside neither ends a header nor becomes HTML.
func TestFaultHostileMail(t *testing.T) {
	s, n := post(t, secret, `headers: {Subject: '{{ .CommonAnnotations.summary }} {{ .GroupLabels.service }}'}`)
	for i, text := range notifytest.Hostile() {
		p := notifytest.Infect(notifytest.Page(), text)
		p.GroupLabels = page.Labels{"service": text + "\r\nBcc: evil@example.org"}
		_, err := n.Notify(t.Context(), open(p))
		require.NoError(t, err)
		mails := s.Mails()
		require.Len(t, mails, i+1)
		m := mails[i]
		for _, name := range []string{"Bcc", "X-Injected"} {
			require.Empty(t, m.Header.Get(name), "%q", text)
		}
		require.Equal(t, []string{"ops@example.org", "second@example.org"}, m.To)
		body := html(t, m)
		require.NotContains(t, body, "<script")
		require.NotContains(t, body, "<img")
		require.NotContains(t, body, `href="javascript:`)
		require.NotContains(t, subject(t, m), "\u202e")
		require.False(t, bytes.ContainsAny([]byte(body), "\x00\x1b"))
	}
}
