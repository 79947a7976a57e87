package fakeslack_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeslack"
)

// ask is call with the whole answer.
func (w *workspace) ask(token, method string, kv ...string) map[string]any {
	w.t.Helper()
	v := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+"/api/"+method, bytes.NewBufferString(v.Encode()))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(w.t, err)
	defer res.Body.Close()
	var out map[string]any
	require.NoError(w.t, json.NewDecoder(res.Body).Decode(&out))
	return out
}

func (w *workspace) put(address string, data []byte) int {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, address, bytes.NewReader(data))
	require.NoError(w.t, err)
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(w.t, err)
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(w.t, err)
	return res.StatusCode
}

func (w *workspace) announce(n int) (address, id string) {
	w.t.Helper()
	a := w.ask(fakeslack.DefaultToken, "files.getUploadURLExternal", "filename", "c.png", "length", strconv.Itoa(n), "alt_txt", "a line")
	require.Equal(w.t, true, a["ok"], a)
	return a["upload_url"].(string), a["file_id"].(string)
}

func TestFileComesIntoAThreadInThreeSteps(t *testing.T) {
	w := open(t, fakeslack.Options{NoRateLimits: true, FileLag: time.Second})
	root := w.post("text", "root")
	address, id := w.announce(3)
	files := `[{"id":"` + id + `","title":"the chart"}]`
	done := func() answer {
		return w.call("files.completeUploadExternal", "files", files, "channel_id", "C0PAGES", "thread_ts", root.TS)
	}
	require.Equal(t, "file_not_found", done().Error, "its bytes are missing")
	require.Equal(t, http.StatusOK, w.put(address, []byte("png")))
	image := `[{"type":"image","slack_file":{"id":"` + id + `"},"alt_text":"x"}]`
	require.Equal(t, "invalid_blocks", w.post("blocks", image).Error, "not shared yet")
	require.True(t, done().OK)
	require.Equal(t, "file_not_found", done().Error, "once")
	require.Equal(t, "invalid_blocks", w.post("blocks", image).Error, "not processed yet")
	require.Len(t, w.call("conversations.replies", "channel", "C0PAGES", "ts", root.TS).Messages, 1, "it shows a second later")
	w.now = w.now.Add(time.Second)
	require.True(t, w.post("blocks", image).OK)
	require.Len(t, w.call("conversations.replies", "channel", "C0PAGES", "ts", root.TS).Messages, 2)

	replies := w.Ledger().Replies(root.TS)
	require.Len(t, replies, 1)
	require.Equal(t, "the chart", replies[0].Files[0].Title)
	require.Equal(t, "a line", replies[0].Files[0].Alt)
	require.Equal(t, 3, replies[0].Files[0].Size)
	res, err := http.DefaultTransport.RoundTrip(httpGet(t, w.url+"/files/"+id))
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "png", string(b))
}

func TestUploadsThatFail(t *testing.T) {
	w := open(t, fakeslack.Options{NoRateLimits: true, UploadFor: time.Minute})
	require.Equal(t, "invalid_arguments", w.call("files.getUploadURLExternal", "filename", "c.png", "length", "0").Error)
	require.Equal(t, "invalid_arguments", w.call("files.getUploadURLExternal", "length", "1").Error)
	address, _ := w.announce(3)
	require.Equal(t, http.StatusBadRequest, w.put(address, []byte("four")))
	require.Equal(t, http.StatusNotFound, w.put(w.url+"/upload/v1/F0NONE", []byte("png")))
	w.now = w.now.Add(2 * time.Minute)
	require.Equal(t, http.StatusGone, w.put(address, []byte("png")))
	w.SetScopes("chat:write")
	require.Equal(t, "missing_scope", w.call("files.getUploadURLExternal", "filename", "c.png", "length", "1").Error)
}

func TestPeople(t *testing.T) {
	w := open(t, fakeslack.Options{NoRateLimits: true})
	a := w.ask(fakeslack.DefaultToken, "usergroups.list", "include_users", "true")
	group := a["usergroups"].([]any)[0].(map[string]any)
	require.Equal(t, "S0ONCALL", group["id"])
	require.Equal(t, []any{"U0ANN"}, group["users"])
	require.Equal(t, []any{"U0ANN"}, w.ask(fakeslack.DefaultToken, "usergroups.users.list", "usergroup", "S0ONCALL")["users"])
	require.Equal(t, "no_such_subteam", w.ask(fakeslack.DefaultToken, "usergroups.users.list", "usergroup", "S0")["error"])
	require.Equal(t, "bob", w.ask(fakeslack.DefaultToken, "users.info", "user", "U0BOB")["user"].(map[string]any)["name"])
	w.SetScopes("chat:write")
	require.Equal(t, "missing_scope", w.ask(fakeslack.DefaultToken, "usergroups.list")["error"])
}
