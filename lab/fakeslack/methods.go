package fakeslack

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// reply is what a method answers; a nil error word means ok.
type reply map[string]any

func fail(word string, messages ...string) reply {
	r := reply{"ok": false, "error": word}
	if len(messages) > 0 {
		r["response_metadata"] = reply{"messages": messages}
	}
	return r
}

func (f *Fake) serveAPI(w http.ResponseWriter, r *http.Request) {
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	a, bad := readArgs(w, r)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests[method]++
	f.base = "http://" + r.Host
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if bad == nil {
		bad = f.authorize(method, a)
	}
	if bad == nil {
		if wait := f.limit(method, a["channel"]); wait > 0 {
			w.Header().Set("Retry-After", seconds(wait))
			w.WriteHeader(http.StatusTooManyRequests)
			bad = fail("ratelimited")
		}
	}
	out := bad
	if out == nil {
		out = f.dispatch(method, a)
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (f *Fake) dispatch(method string, a args) reply {
	switch method {
	case "auth.test":
		return reply{
			"ok": true, "url": "https://fake.slack.example/", "team": "Fake", "user": "tocsin",
			"team_id": teamID, "user_id": botUser, "bot_id": botID,
		}
	case "chat.postMessage":
		return f.post(a)
	case "chat.update":
		return f.update(a)
	case "chat.delete":
		return f.remove(a)
	case "conversations.history":
		return f.history(a)
	case "conversations.replies":
		return f.replies(a)
	case "files.getUploadURLExternal":
		return f.uploadURL(a)
	case "files.completeUploadExternal":
		return f.completeUpload(a)
	case "files.info":
		return f.fileInfo(a)
	case "users.info":
		return f.userInfo(a)
	case "usergroups.list":
		return f.groupList(a)
	case "usergroups.users.list":
		return f.groupUsers(a)
	case "apps.connections.open":
		return f.openConnection()
	}
	return fail("unknown_method")
}

const (
	botID   = "B0TOCSIN"
	botUser = "U0TOCSIN"
	appID   = "A0TOCSIN"
	teamID  = "T0FAKE"
)

func (f *Fake) authorize(method string, a args) reply {
	ofApp := method == "apps.connections.open"
	switch token := a["token"]; {
	case token == "":
		return fail("not_authed")
	case token == f.opts.AppToken && ofApp:
		return nil
	case token == f.opts.AppToken, token == f.opts.Token && ofApp:
		return fail("not_allowed_token_type")
	case token != f.opts.Token:
		return fail("invalid_auth")
	case f.revoked:
		return fail("token_revoked")
	}
	if needed := scopeOf(method); needed != "" && !slices.Contains(f.scopes, needed) {
		r := fail("missing_scope")
		r["needed"], r["provided"] = needed, strings.Join(f.scopes, ",")
		return r
	}
	return nil
}

// scopeOf is the scope a bot needs for a method, "" if none.
func scopeOf(method string) string {
	switch {
	case strings.HasPrefix(method, "chat."):
		return "chat:write"
	case strings.HasPrefix(method, "conversations."):
		return "channels:history"
	case method == "files.info":
		return "files:read"
	case strings.HasPrefix(method, "files."):
		return "files:write"
	case strings.HasPrefix(method, "usergroups."):
		return "usergroups:read"
	case strings.HasPrefix(method, "users."):
		return "users:read"
	}
	return ""
}

// limit returns how long the caller has to wait, 0 if it may go on.
func (f *Fake) limit(method, channelID string) time.Duration {
	if f.opts.NoRateLimits || method == "auth.test" {
		return 0
	}
	bucket, burst, window := method, 50, time.Minute
	if method == "chat.postMessage" {
		bucket, burst, window = method+" "+channelID, 5, 5*time.Second
	}
	now := f.opts.Now()
	spent := slices.DeleteFunc(f.spent[bucket], func(t time.Time) bool { return now.Sub(t) >= window })
	if len(spent) >= burst {
		f.spent[bucket] = spent
		return window - now.Sub(spent[0])
	}
	f.spent[bucket] = append(spent, now)
	return 0
}
