package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
)

// signature is the header in which GitHub signs the body of a webhook: sha256=
// and the hex HMAC of it (docs.github.com, Validating webhook deliveries).
const signature = "X-Hub-Signature-256"

// github is whom changes come from that GitHub's signature lets in.
const github = "github"

// signed reports whether a request is to be judged by GitHub's signature, and by
// nothing else: where no secret is known a signature says nothing.
func (h *Handler) signed(r *http.Request) bool {
	return len(h.GitHubSecrets) > 0 && r.Header.Get(signature) != ""
}

// vouched refuses a signed body that no secret signed, and one that is not
// GitHub's: its signature lets in what GitHub sends, and nothing else. ok false
// comes with what is said instead; an event that is no deployment is fine and no
// change.
func (h *Handler) vouched(r *http.Request, body []byte) (a answer, ok bool) {
	if !h.signs(r.Header.Get(signature), body) {
		h.Log.Warn("change with wrong signature", "remote", r.RemoteAddr)
		return answer{code: http.StatusUnauthorized, Status: "denied", Error: "no secret of changes.github_secret_files signed this body: compare it with the webhook's secret at GitHub, and its content type: application/json"}, false
	}
	var form githubForm
	event := r.Header.Get("X-GitHub-Event")
	switch err := json.Unmarshal(body, &form); {
	case err == nil && form.Deployment != nil:
		return answer{}, true
	case event != "" && !strings.HasPrefix(event, "deployment"): // ping, push …: whoever set the webhook up wanted too much
		return answer{code: http.StatusAccepted, Status: "ignored"}, false
	}
	h.Log.Warn("signed change is not GitHub's", "remote", r.RemoteAddr)
	return answer{code: http.StatusUnauthorized, Status: "denied", Error: "GitHub's signature lets in its deployment and deployment_status events only: send others with a bearer token"}, false
}

// signs compares with what every secret would sign, in constant time.
func (h *Handler) signs(given string, body []byte) bool {
	mac, err := hex.DecodeString(strings.TrimPrefix(given, "sha256="))
	if err != nil || !strings.HasPrefix(given, "sha256=") {
		return false
	}
	found := false
	for _, secret := range h.GitHubSecrets {
		if secret == "" {
			continue
		}
		sum := hmac.New(sha256.New, []byte(secret.Reveal()))
		sum.Write(body)
		found = hmac.Equal(mac, sum.Sum(nil)) || found
	}
	return found
}
