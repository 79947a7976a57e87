package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remote"
)

// api is one call of Slack's Web API. Its error is a *remote.Error.
type api interface {
	call(ctx context.Context, method string, args url.Values) (answer, error)
}

// answer is what Slack's methods return, as far as we read it.
type answer struct {
	OK       bool      `json:"ok"`
	Error    string    `json:"error"`
	TS       string    `json:"ts"`
	Channel  string    `json:"channel"`
	HasMore  bool      `json:"has_more"`
	Message  message   `json:"message"`
	Messages []message `json:"messages"`
	Next     struct {
		Cursor   string   `json:"next_cursor"`
		Messages []string `json:"messages"`
	} `json:"response_metadata"`

	UploadURL string `json:"upload_url"` // files.getUploadURLExternal
	FileID    string `json:"file_id"`
	URL       string `json:"url"` // apps.connections.open
	Groups    []struct {
		ID    string   `json:"id"`
		Users []string `json:"users"`
	} `json:"usergroups"`
}

// message is one in a channel or a thread.
type message struct {
	TS       string `json:"ts"`
	ThreadTS string `json:"thread_ts"`
	Files    []file `json:"files"`
	Metadata struct {
		EventType    string `json:"event_type"`
		EventPayload struct {
			ID   string `json:"id"`
			Last int    `json:"last"` // of a reply: Update.N of the last change it tells
		} `json:"event_payload"`
	} `json:"metadata"`
}

type file struct {
	Name string `json:"name"`
}

func (m message) holds(name string) bool {
	return slices.ContainsFunc(m.Files, func(f file) bool { return f.Name == name })
}

const maxAnswer = 4 << 20

// client makes the round trips itself rather than by slack-go, whose errors
// lose what is needed to know whether a message may have been accepted.
type client struct {
	http  *remote.Client
	base  *url.URL
	token config.Secret
	now   func() time.Time
}

func (c *client) call(ctx context.Context, method string, args url.Values) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(method).String(), strings.NewReader(args.Encode()))
	if err != nil {
		return answer{}, &remote.Error{Op: method, Class: remote.Config, Err: remote.Redact(err)}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	res, err := c.http.Do(req, method)
	if err != nil {
		return answer{}, err
	}
	return c.read(method, res)
}

// upload brings a file's bytes to the address Slack gave for them.
func (c *client) upload(ctx context.Context, address string, data []byte) error {
	const op = "upload file"
	u, err := url.Parse(address)
	if err != nil || !c.ours(u, ".slack.com") {
		return &remote.Error{Op: op, Class: remote.Config, Reason: "the address is not Slack's"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(data))
	if err != nil {
		return &remote.Error{Op: op, Class: remote.Config, Err: remote.Redact(err)}
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	res, err := c.http.Do(req, op)
	if err != nil {
		return err
	}
	e := &remote.Error{Op: op, Status: res.Status, Class: remote.NotSent, RetryAfter: remote.ParseRetryAfter(res.Header, c.now())}
	switch res.Status {
	case http.StatusOK:
		return nil
	case http.StatusRequestEntityTooLarge:
		e.Class = remote.Content
	}
	return e
}

// ours reports whether an address that Slack gave leads to Slack: to the host of
// the API, or over TLS to a host of its own (".slack.com": to any of that domain).
func (c *client) ours(u *url.URL, host string) bool {
	if u.User != nil {
		return false
	}
	if u.Host == c.base.Host && u.Scheme == c.base.Scheme {
		return true
	}
	within := strings.HasPrefix(host, ".") && strings.HasSuffix(u.Host, host)
	return u.Scheme == "https" && (u.Host == host || within)
}

// read tells an acceptance from all else. Slack answers most refusals with
// status 200.
func (c *client) read(method string, res remote.Response) (answer, error) {
	e := &remote.Error{Op: method, Status: res.Status, RetryAfter: remote.ParseRetryAfter(res.Header, c.now())}
	var a answer
	switch {
	case res.Status == http.StatusTooManyRequests:
		e.Class, e.Reason = remote.NotSent, "ratelimited"
		return a, e
	case res.Status == http.StatusOK:
	case res.Status == http.StatusRequestEntityTooLarge:
		e.Class = remote.Content
		return a, e
	case res.Status >= 300 && res.Status < 500 && res.Status != http.StatusRequestTimeout:
		e.Class = remote.Config // a proxy, or not Slack at all
		return a, e
	default:
		e.Class = remote.Unknown
		return a, e
	}
	if err := json.Unmarshal(res.Body, &a); err != nil {
		e.Class, e.Reason = remote.Unknown, "answer is not Slack's"
		return a, e
	}
	if a.OK {
		return a, nil
	}
	e.Class, e.Reason = classOf(a.Error), word(a.Error)
	if len(a.Next.Messages) > 0 && e.Class == remote.Content {
		e.Reason += ": " + a.Next.Messages[0]
	}
	return a, e
}

// word keeps an error word that is one, so that nothing else gets into logs.
func word(s string) string {
	if s == "" || len(s) > 80 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return "unknown error word"
	}
	return s
}

// classOf sorts Slack's error words (docs.slack.dev, chat.postMessage and
// chat.update). A word that is not listed may come from a half-done call.
func classOf(word string) remote.Class {
	switch word {
	case "ratelimited", "rate_limited", "message_limit_exceeded", "team_added_to_org",
		"file_not_found": // an upload that went astray: nobody has seen it
		return remote.NotSent
	case "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text",
		"too_many_attachments", "invalid_attachments", "attachment_payload_limit_exceeded",
		"metadata_too_large", "metadata_must_be_sent_from_app", "invalid_metadata_format",
		"invalid_metadata_schema", "invalid_arguments", "invalid_arg_name", "invalid_array_arg",
		"invalid_charset", "invalid_form_data", "invalid_post_type", "missing_post_type", "markdown_text_conflict",
		"alt_txt_too_large", "file_type_not_allowed", "blocked_file_type", "post_file_cannot_be_shared":
		return remote.Content
	case "message_not_found", "cant_update_message", "edit_window_closed",
		"thread_not_found", "invalid_thread_ts", "cannot_reply_to_message":
		return remote.Gone
	case "channel_not_found", "not_in_channel", "is_archived", "is_inactive", "no_permission",
		"restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_only_channel",
		"restricted_action_non_threadable_channel", "restricted_action_thread_locked",
		"not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "missing_scope",
		"not_allowed_token_type", "access_denied", "ekm_access_denied", "enterprise_is_restricted",
		"org_login_required", "two_factor_setup_required", "accesslimited", "team_access_not_granted",
		"file_uploads_disabled", "file_uploads_except_images_disabled", "storage_limit_reached",
		"unknown_method", "deprecated_endpoint", "method_deprecated", "channel_type_not_supported":
		return remote.Config
	}
	return remote.Unknown
}
