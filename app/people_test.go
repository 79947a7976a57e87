package app_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A person signs in at the operators' listener, looks, acts, and is not in the
// way of a reload, nor of the end.
func TestAPersonWithABrowser(t *testing.T) {
	h := run(t, "public_url: https://tocsin.example.org\n")
	require.Equal(t, http.StatusAccepted, h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", fires("Looked"), nil).code)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	get := func(path string) string {
		res, err := browser.Get("http://" + h.operators + path)
		require.NoError(t, err)
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(raw)
	}
	post := func(path string, form url.Values) (int, string) {
		res, err := browser.PostForm("http://"+h.operators+path, form)
		require.NoError(t, err)
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(raw)
	}
	field := func(text, name string) string {
		m := regexp.MustCompile(`name="` + name + `" value="([^"]+)"`).FindStringSubmatch(text)
		require.NotNil(t, m, "%s in %s", name, text)
		return m[1]
	}
	signIn := get("/")
	require.Contains(t, signIn, "Operator's token")
	code, text := post("/login", url.Values{"form": {field(signIn, "form")}, "token": {"am-secret"}})
	require.Equal(t, http.StatusUnauthorized, code, "a webhook's token opens nothing here: %s", text)
	code, _ = post("/login", url.Values{"form": {field(signIn, "form")}, "token": {"alice-secret"}})
	require.Equal(t, http.StatusOK, code)
	var link string
	require.Eventually(t, func() bool {
		m := regexp.MustCompile(`href="(/pages/[0-9a-f]{64})"`).FindStringSubmatch(get("/"))
		if m != nil {
			link = m[1]
		}
		return m != nil
	}, 20*time.Second, 10*time.Millisecond)
	shown := get(link)
	require.Contains(t, shown, "Looked")
	code, shown = post(link+"/acts", url.Values{"form": {field(shown, "form")}, "verb": {"ack"}, "key": {"k"}})
	require.Equal(t, http.StatusOK, code, shown)
	require.Contains(t, shown, "Acknowledged.")

	res, err := (&http.Client{Jar: jar}).Get("http://" + h.operators + "/events")
	require.NoError(t, err)
	defer res.Body.Close()
	greeting, err := bufio.NewReader(res.Body).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "retry: 3000\n", greeting)

	raw, err := os.ReadFile(h.config)
	require.NoError(t, err)
	without := strings.Replace(string(raw), "{name: alice, role: operator, token_file: alice.token}, ", "", 1)
	require.NoError(t, os.WriteFile(h.config, []byte(without), 0o600))
	require.Eventually(t, func() bool { return len(h.slack.Ledger().Roots()) == 1 }, 20*time.Second, 10*time.Millisecond)
	h.reload <- struct{}{}
	require.Eventually(t, func() bool { return strings.Contains(get("/"), "Operator's token") }, 20*time.Second, 10*time.Millisecond,
		"a token that is taken away ends its sessions")

	began := time.Now()
	h.stop()
	require.Less(t, time.Since(began), 4*time.Second, "a live page is told to go")
	require.Contains(t, h.log.String(), "kind=acted")
	require.NotContains(t, h.log.String(), "alice-secret")
	require.Len(t, h.slack.Ledger().Roots(), 1)
	require.Contains(t, h.slack.Ledger().Roots()[0].First.Links, "https://tocsin.example.org"+link, "messages lead to the page")
}
