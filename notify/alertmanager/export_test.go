package alertmanager

import (
	"net/http"
	"net/url"

	"github.com/tocsin/tocsin/notify"
)

// Reroute sends every HTTP request of n to base, keeping its path: one of
// Alertmanager's notifiers has its address built in.
func Reroute(n notify.Notifier, base string) {
	for _, i := range membersOf(n) {
		if i.watch != nil {
			i.watch.next = reroute{base, i.watch.next}
		}
	}
}

// Facts lists the names of the annotations and what they mean.
func Facts() (names, docs []string) {
	for _, f := range facts() {
		names, docs = append(names, prefix+f.name), append(docs, f.doc)
	}
	return names, docs
}

// Neutral is what is done to data for one kind of service.
func Neutral(kind string) func(string) string { return neutral(kind) }

func membersOf(n notify.Notifier) []*integration {
	if k, ok := n.(*known); ok {
		return k.integrations
	}
	return n.(*target).integrations
}

type reroute struct {
	base string
	next http.RoundTripper
}

func (r reroute) RoundTrip(req *http.Request) (*http.Response, error) {
	u, err := url.Parse(r.base)
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host, req.Host = u.Scheme, u.Host, u.Host
	return r.next.RoundTrip(req)
}
