package alertmanager

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/receiver"
	amnotify "github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

//go:embed tocsin.tmpl
var ourTemplates string

var (
	_ notify.Follower = (*target)(nil)
	_ notify.Renderer = (*target)(nil)
	_ notify.Finder   = (*known)(nil)
	_ notify.Keyed    = (*known)(nil)
)

// target is the integrations of one receiver. It is told when all of them are.
type target struct {
	integrations []*integration
	tmpl         *template.Template
	follow       string
	now          func() time.Time
}

func open(c *Config, d notify.Deps) (notify.Notifier, error) {
	am, err := amconfig.Load(c.doc)
	if err != nil {
		return nil, config.Bad("receiver", "%v", err)
	}
	if err := readable(c); err != nil {
		return nil, err
	}
	t := &target{follow: c.Follow, now: d.Now}
	if t.tmpl, err = templates(c, cmp.Or(c.ExternalURL, d.PublicURL)); err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler) // what they have to say is in their error
	rcv := am.Receivers[0]
	list, err := receiver.BuildReceiverIntegrations(rcv, t.tmpl, quiet)
	if err != nil {
		return nil, config.Bad("receiver", "%v", err)
	}
	redact := redactor(rcv)
	all := true
	for i := range list {
		in, err := cage(&list[i], rcv, t.tmpl, quiet, d.Now, redact)
		if err != nil {
			return nil, config.Bad("receiver", "%v", err)
		}
		t.integrations = append(t.integrations, in)
		all = all && slices.Contains(keyed(), in.Name())
	}
	if all {
		return &known{t}, nil
	}
	return t, nil
}

// readable refuses files that are not there, or still wait to be filled in.
func readable(c *Config) error {
	var errs []error
	for path, s := range map[string]config.Section{"receiver": c.Receiver, "global": c.Global} {
		w, err := read(s, path)
		errs = append(errs, err)
		for i, f := range w.Files {
			if strings.Contains(w.paths[i], "tls_config.") { // PEM has many lines
				_, err = os.Stat(string(f))
			} else {
				_, err = f.Read()
			}
			if err != nil {
				errs = append(errs, config.Bad(w.paths[i], "%v", err))
			}
		}
	}
	return errors.Join(errs...)
}

// templates reads Alertmanager's own, ours over them, and the user's over both.
func templates(c *Config, external string) (*template.Template, error) {
	if external == "" {
		return nil, config.Bad("external_url", "write Alertmanager's address as people open it: templates link to it (or set public_url)")
	}
	u, err := url.Parse(strings.TrimSuffix(external, "/"))
	if err != nil {
		return nil, config.Bad("external_url", "%v", err)
	}
	tmpl, err := template.FromGlobs(nil)
	if err != nil {
		return nil, err
	}
	if err := tmpl.Parse(strings.NewReader(ourTemplates)); err != nil {
		return nil, err
	}
	for i, glob := range c.Templates {
		found, err := filepath.Glob(string(glob))
		if err == nil && len(found) == 0 {
			err = errors.New("no file is there")
		}
		if err == nil {
			err = tmpl.FromGlob(string(glob))
		}
		if err != nil {
			return nil, config.Bad(fmt.Sprintf("templates[%d]", i), "%s: %v", glob, err)
		}
	}
	tmpl.ExternalURL = u
	return tmpl, nil
}

// Notify tells the page's begin and its end; most of these services cannot
// change what they said, so an update tells nothing. Who accepted stands in
// Receipt.Parts until all did, so that a second attempt asks the others only.
// Who was never told of the begin is not told of the end.
func (t *target) Notify(ctx context.Context, m notify.Message) (page.Receipt, error) {
	closed := m.Page.State == page.Closed
	switch {
	case m.Verb == notify.VerbUpdate, m.Verb == notify.VerbResolve && (!closed || m.Receipt.Resolved):
		return m.Receipt, nil
	case closed:
		return t.end(ctx, m)
	default:
		return t.tell(ctx, m, func(*integration) bool { return true })
	}
}

// Follow tells once more where an update is worth a ring: what has changed,
// with the group as it is now, as Alertmanager does when a group changes.
func (t *target) Follow(ctx context.Context, m notify.Message) (page.Receipt, error) {
	r := m.Receipt
	if len(m.Updates) == 0 {
		return r, nil
	}
	said := m.Updates[len(m.Updates)-1].N
	if m.Page.State != page.Closed && slices.ContainsFunc(m.Updates, t.rings) {
		m.Verb = notify.VerbFollow
		told := members(m.Receipt.Ref)
		var err error
		if r, err = t.tell(ctx, m, func(i *integration) bool { return slices.Contains(told, i.String()) }); err != nil {
			return r, err
		}
		r.Ref = m.Receipt.Ref
		if nth := nths(m, "opsgenie")[0]; nth > 0 && slices.ContainsFunc(told, folds) && !slices.Contains(r.Further, groupKey(m, nth)) {
			r.Further = append(slices.Clip(r.Further), groupKey(m, nth))
		}
	}
	r.Followed = said
	return r, nil
}

func (t *target) rings(u page.Update) bool {
	switch {
	case t.follow == followNever:
		return false
	case u.Kind == page.UpdateJoined && t.follow == followJoined:
		return true
	default:
		return u.Aloud || u.Kind == page.UpdateWorse
	}
}

// end tells those who were told of the begin, in part perhaps, that it is over.
func (t *target) end(ctx context.Context, m notify.Message) (page.Receipt, error) {
	told := members(m.Receipt.Ref)
	for _, part := range m.Receipt.Parts {
		if name, ok := strings.CutSuffix(part, " firing"); ok {
			told = append(told, name)
		}
	}
	r, err := t.tell(ctx, m, func(i *integration) bool {
		return i.SendResolved() && slices.Contains(told, i.String())
	})
	if err == nil && len(told) > 0 {
		r.Ref = strings.Join(told, ",")
	}
	return r, err
}

// members takes a Ref apart: email[0],webhook[1].
func members(ref string) []string {
	if ref == "" {
		return nil
	}
	return strings.Split(ref, ",")
}

// tell brings the message to the integrations that whom names and that have not
// accepted it yet, all at once. Ref names them when all have.
func (t *target) tell(ctx context.Context, m notify.Message, whom func(*integration) bool) (page.Receipt, error) {
	var (
		calls sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		names []string
	)
	r := m.Receipt
	accepted := r.Parts
	r.Parts = slices.Clone(accepted)
	for _, i := range t.integrations {
		if !whom(i) {
			continue
		}
		names = append(names, i.String())
		calls.Go(func() {
			now, say := t.now(), i.say
			if m.Plain && i.Name() == "webex" {
				say = func(s string) string { return ascii(i.say(s)) }
			}
			for _, nth := range nths(m, i.Name()) {
				part := i.String() + " " + step(m, nth)
				if slices.Contains(accepted, part) {
					continue
				}
				err := i.send(scene(ctx, m, nth, now, say), alerts(m, now, i.SendResolved(), say))
				mu.Lock()
				if err == nil {
					r.Parts = append(r.Parts, part)
				} else {
					errs = append(errs, err)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	calls.Wait()
	if len(errs) > 0 {
		slices.Sort(r.Parts)
		return r, worst(errs)
	}
	r.Ref, r.Parts = strings.Join(names, ","), nil
	return r, nil
}

// worst returns the error that says what may be done next: a doubt first, then
// what trying again mends.
func worst(errs []error) error {
	order := []remote.Class{remote.Unknown, remote.NotSent, remote.Gone, remote.Config, remote.Content}
	slices.SortStableFunc(errs, func(a, b error) int {
		return cmp.Or(
			slices.Index(order, remote.ClassOf(a))-slices.Index(order, remote.ClassOf(b)),
			cmp.Compare(remote.RetryAfter(b), remote.RetryAfter(a)),
			cmp.Compare(a.Error(), b.Error()))
	})
	return errs[0]
}

// Render shows what templates are fed with, and who would be told.
func (t *target) Render(m notify.Message) ([]byte, error) {
	type rendered struct {
		Integrations []string       `json:"integrations"`
		Data         *template.Data `json:"data"`
	}
	out := rendered{Integrations: []string{}}
	m.Receipt.Delivery = cmp.Or(m.Receipt.Delivery, "preview")
	for _, i := range t.integrations {
		out.Integrations = append(out.Integrations, i.String())
	}
	now := t.now()
	asIs := neutral("")
	out.Data = amnotify.GetTemplateData(scene(context.Background(), m, 0, now, asIs), t.tmpl,
		alerts(m, now, true, asIs), slog.New(slog.DiscardHandler))
	return json.Marshal(out)
}

// known is a target all of whose services know a repeat by its key.
type known struct{ *target }

// Keyed says so: the key is the problem's id.
func (*known) Keyed() {}

// Find answers that a repeat doubles nothing. A page that is over meanwhile is
// not repeated: it counts as found, so that its end is told.
func (k *known) Find(_ context.Context, m notify.Message) (page.Receipt, bool, error) {
	r := m.Receipt
	if m.Verb == notify.VerbFollow || m.Page.State != page.Closed {
		return r, false, nil
	}
	var names []string
	for _, i := range k.integrations {
		names = append(names, i.String())
	}
	r.Ref = strings.Join(names, ",")
	return r, true, nil
}
