package fakeawx

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
)

// webhook is a template's GitHub door: no user, a signature instead, and a
// delivery that was seen before starts nothing.
func (f *Fake) webhook(c *call, parts []string) {
	id, _ := number(parts[1])
	t := f.template(id)
	body, err := io.ReadAll(io.LimitReader(c.r.Body, maxBody))
	if t == nil || t.WebhookKey == "" || err != nil || len(parts) != 3 || !signed(t.WebhookKey, body, c.r.Header.Get("X-Hub-Signature")) {
		detail(c.w, http.StatusForbidden, forbidden)
		return
	}
	guid := c.r.Header.Get("X-GitHub-Delivery")
	if slices.ContainsFunc(f.jobs, func(j *job) bool { return j.of == t && j.guid == guid && !j.hidden(f.now()) }) {
		answer(c.w, http.StatusAccepted, object{"message": "Webhook previously received, aborting."})
		return
	}
	j := f.create(t, nil, object{"extra_vars": object{"awx_webhook_payload": string(body), "awx_webhook_guid": guid}}, "webhook")
	j.guid = guid
	answer(c.w, http.StatusAccepted, object{"message": "Job queued."})
}

func signed(key string, body []byte, signature string) bool {
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write(body)
	return hmac.Equal([]byte("sha1="+hex.EncodeToString(mac.Sum(nil))), []byte(signature))
}
