package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

func signedBy(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func TestGitHubSigns(t *testing.T) {
	s := openStore(t)
	defer s.Close()
	h := newHandler(s)
	h.GitHubSecrets = []config.Secret{"old", "new", ""}
	deploy := fmt.Sprintf(`{"deployment": {"id": 1, "ref": "v42", "sha": "f95f852", "created_at": %q}, "repository": {"name": "checkout"}}`,
		time.Now().UTC().Format(time.RFC3339))
	own := `{"kind": "deploy", "title": "v42"}`
	for _, tc := range []struct {
		name, body, signature, event, token string
		code                                int
		status                              string
	}{
		{"signed", deploy, signedBy("new", deploy), "deployment", "", 202, "accepted"},
		{"signed by the secret before", deploy, signedBy("old", deploy), "deployment", "", 202, "duplicate"},
		{"by another", deploy, signedBy("x", deploy), "deployment", "", 401, "denied"},
		{"by no secret at all", deploy, signedBy("", deploy), "deployment", "", 401, "denied"},
		{"another body", deploy + " ", signedBy("new", deploy), "deployment", "", 401, "denied"},
		{"not hex", deploy, "sha256=zz", "deployment", "", 401, "denied"},
		{"cut short", deploy, signedBy("new", deploy)[:40], "deployment", "", 401, "denied"},
		{"nothing", deploy, "sha256=", "deployment", "", 401, "denied"},
		{"another hash", deploy, "sha1=" + signedBy("new", deploy)[7:], "deployment", "", 401, "denied"},
		{"no signature", deploy, "", "deployment", "", 401, "denied"},
		{"no signature, and a token", deploy, "", "deployment", "new", 202, "duplicate"},
		{"a wrong one, and a token", deploy, signedBy("x", deploy), "deployment", "new", 401, "denied"},
		{"another form", own, signedBy("new", own), "", "", 401, "denied"},
		{"another form under GitHub's name", own, signedBy("new", own), "deployment", "", 401, "denied"},
		{"a ping", `{"zen": "x"}`, signedBy("new", `{"zen": "x"}`), "ping", "", 202, "ignored"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, got := sendChange(t, h, tc.body, func(r *http.Request) {
				r.Header.Del("Authorization")
				if tc.token != "" {
					r.Header.Set("Authorization", "Bearer "+tc.token)
				}
				if tc.signature != "" {
					r.Header.Set("X-Hub-Signature-256", tc.signature)
				}
				if tc.event != "" {
					r.Header.Set("X-GitHub-Event", tc.event)
				}
			})
			require.Equal(t, tc.code, w.Code, got.Error)
			require.Equal(t, tc.status, got.Status)
		})
	}
	recs, err := s.Scan(t.Context(), store.ChangePrefix, "", 10)
	require.NoError(t, err)
	require.Len(t, recs, 1)
	var c page.Change
	require.NoError(t, store.Unmarshal(recs[0].Value, &c))
	require.Equal(t, "webhook/github", c.Source)
	require.Equal(t, "v42", c.Title)

	h.GitHubSecrets = nil // then a signature says nothing
	sign := func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", signedBy("new", deploy)) }
	w, _ := sendChange(t, h, deploy, sign)
	require.Equal(t, http.StatusAccepted, w.Code, "by its token")
	w, _ = sendChange(t, h, deploy, func(r *http.Request) { sign(r); r.Header.Del("Authorization") })
	require.Equal(t, http.StatusUnauthorized, w.Code)
}

// GitHub's own example (docs.github.com, Validating webhook deliveries).
func TestGitHubsExample(t *testing.T) {
	s := openStore(t)
	defer s.Close()
	h := newHandler(s)
	h.GitHubSecrets = []config.Secret{"It's a Secret to Everybody"}
	w, got := sendChange(t, h, "Hello, World!", func(r *http.Request) {
		r.Header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
		r.Header.Set("X-GitHub-Event", "ping")
	})
	require.Equal(t, http.StatusAccepted, w.Code, got.Error)
}
