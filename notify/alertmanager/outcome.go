package alertmanager

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/remote"
)

const maxReason = 200 // runes of an answer in an error

// outcome is what a call proves, by what was seen on the wire: the notifiers'
// own word, whether to retry, is not enough.
func (i *integration) outcome(c *call, err error) error {
	t, seen := c.last()
	switch {
	case i.watch == nil:
		return i.mailed(err)
	case err == nil && seen && i.proxied(t):
		return i.failed(remote.Unknown, t, errors.New("the answer is not the service's"))
	case err == nil:
		return nil
	case !seen:
		return i.unsent(err)
	case t.status == 0 && t.wrote:
		return i.failed(remote.Unknown, t, cause(t.err))
	case t.status == 0:
		return i.failed(remote.NotSent, t, cause(t.err))
	case t.status/100 == 2:
		return i.refused(t, err)
	default:
		return i.failed(classOf(t), t, nil)
	}
}

// classOf sorts statuses that are no success.
func classOf(t trip) remote.Class {
	switch {
	case t.status == http.StatusTooManyRequests:
		return remote.NotSent
	case t.status >= 500, t.status == http.StatusRequestTimeout, t.status < 300:
		return remote.Unknown
	case slices.Contains([]int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity}, t.status):
		if whose(t.body) {
			return remote.Config
		}
		return remote.Content
	default:
		return remote.Config
	}
}

// whose reports whether a refusal is about who asks or where, not what is said.
func whose(body []byte) bool {
	return regexp.MustCompile(`(?i)(chat|channel|room|webhook|project|user|topic)[ _-]?(is )?(not|invalid)[ _-]|(no|invalid|unknown|missing)[ _-](such )?(auth|token|webhook|api|key|chat|channel|room|project|user|secret)|authenticat|credential|unauthori[sz]ed|forbidden|permission|blocked`).Match(body)
}

// refused sorts what the notifier calls an error although the status is a
// success: the service said no in its body, or somebody else answered.
func (i *integration) refused(t trip, err error) error {
	if _, ok := errors.AsType[panicked](err); ok || !json.Valid(t.body) || remote.Passing(err) {
		return i.failed(remote.Unknown, t, err)
	}
	class := remote.Content
	switch {
	case regexp.MustCompile(`(?i)rate.?limit|too.many|retry|expired|out of limit`).Match(t.body):
		class = remote.NotSent
	case whose(t.body):
		class = remote.Config
	}
	return i.failed(class, t, nil)
}

// proxied reports whether a success cannot be the service's own: these always
// answer in JSON.
func (i *integration) proxied(t trip) bool {
	answers := []string{"incidentio", "opsgenie", "pagerduty", "pushover", "rocketchat", "victorops", "webex"}
	return slices.Contains(answers, i.Name()) && (len(bytes.TrimSpace(t.body)) == 0 || !json.Valid(t.body))
}

// unsent sorts errors of calls that asked nobody.
func (i *integration) unsent(err error) error {
	class := remote.Content // a template that does not fit the alerts
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		class = remote.Config
	}
	if remote.Passing(err) {
		class = remote.NotSent
	}
	return i.failed(class, trip{}, err)
}

// mailed sorts errors of the mail notifier by the step at which they came: a
// mail is accepted, or not, with the answer to its last line and no sooner.
func (i *integration) mailed(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[unfit](err); ok {
		return i.failed(remote.Content, trip{}, err)
	}
	class := remote.NotSent
	answer, answered := errors.AsType[*textproto.Error](err)
	ended := strings.HasPrefix(err.Error(), "delivery failure")
	begun := ended || strings.HasPrefix(err.Error(), "write ")
	_, distrust := errors.AsType[*tls.CertificateVerificationError](err)
	_, unread := errors.AsType[*fs.PathError](err)
	switch {
	case answered && answer.Code < 500:
	case answered && ended:
		class = remote.Content
	case answered, distrust, unread, misconfigured(err):
		class = remote.Config
	case begun:
		class = remote.Unknown
	}
	if _, ok := errors.AsType[panicked](err); ok {
		class = remote.Unknown
	}
	return i.failed(class, trip{}, err)
}

// misconfigured knows the mail notifier's words for what only a human mends.
func misconfigured(err error) bool {
	return regexp.MustCompile(`^(find auth mechanism|parse |execute |must be exactly one|'require_tls'|smtp\.\S+ auth|\*\S+ auth)|unencrypted connection`).MatchString(err.Error())
}

// failed makes the error, without secrets.
func (i *integration) failed(class remote.Class, t trip, err error) error {
	e := &remote.Error{Op: i.op(), Class: class, Status: t.status, RetryAfter: t.after}
	if class != remote.NotSent {
		e.RetryAfter = 0
	}
	e.Reason = notify.Clean(i.redact(string(t.body)), maxReason)
	if err != nil {
		e.Err = hidden{notify.Clean(i.redact(remote.Redact(err).Error()), maxReason), err}
	}
	return e
}

// hidden is an error whose text was cleaned. Only whether it is a deadline can
// be asked of the original.
type hidden struct {
	text string
	err  error
}

func (h hidden) Error() string { return h.text }

// Is answers for the caller's own deadline and cancellation.
func (h hidden) Is(target error) bool {
	return (target == context.DeadlineExceeded || target == context.Canceled) && errors.Is(h.err, target)
}

// Format keeps the original out of %+v and %#v.
func (h hidden) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(h.text)) }

func cause(err error) error { return remote.Redact(err) }
