package alertmanager

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/alert"
	amconfig "github.com/prometheus/alertmanager/config"
	amnotify "github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"

	"github.com/tocsin/tocsin/remote"
)

const (
	maxCalls  = 8                      // of one integration at once, those that do not come back included
	maxCall   = 30 * time.Second       // where the caller has no deadline
	afterward = 200 * time.Millisecond // for a call to notice that its time is over
)

// integration is one of Alertmanager's notifiers in its cage.
type integration struct {
	*amnotify.Integration

	slots  chan struct{}
	watch  *watch // nil: it speaks no HTTP
	check  func(ctx context.Context, alerts []*alert.Alert) error
	say    func(string) string
	redact func(string) string
}

// keyed lists the services that know a repeat by its key.
func keyed() []string {
	return []string{"incidentio", "jira", "opsgenie", "pagerduty", "victorops"}
}

// lonely lists the notifiers that must not be called twice at once: they keep
// their token where both calls write it.
func lonely() []string { return []string{"telegram", "wechat"} }

func cage(in *amnotify.Integration, rcv amconfig.Receiver, tmpl *template.Template, log *slog.Logger, now func() time.Time, redact func(string) string) (*integration, error) {
	calls := maxCalls
	if slices.Contains(lonely(), in.Name()) {
		calls = 1
	}
	i := &integration{Integration: in, slots: make(chan struct{}, calls), say: neutral(in.Name()), redact: redact}
	if in.Name() == "email" {
		conf := rcv.EmailConfigs[in.Index()]
		if _, ok := conf.Headers["Message-Id"]; !ok {
			conf.Headers["Message-Id"] = "<{{ .CommonAnnotations.tocsin_message }}@tocsin>"
		}
		i.check = func(ctx context.Context, alerts []*alert.Alert) error {
			return rendered(conf, tmpl, amnotify.GetTemplateData(ctx, tmpl, alerts, log))
		}
		return i, nil
	}
	i.watch = &watch{now: now, once: in.Name() == "sns"}
	if in.Name() == "discord" {
		i.watch.amend = noMentions
	}
	return i, watched(in, i.watch)
}

// rendered tries the templates of a mail. Its notifier renders them while it
// sends, and a mail of which a template fails leaves in half.
func rendered(conf *amconfig.EmailConfig, tmpl *template.Template, data *template.Data) error {
	for name, text := range conf.Headers {
		if _, err := tmpl.ExecuteTextString(text, data); err != nil {
			return fmt.Errorf("template of header %s: %w", name, err)
		}
	}
	if _, err := tmpl.ExecuteTextString(conf.Text, data); err != nil {
		return fmt.Errorf("template of text: %w", err)
	}
	if _, err := tmpl.ExecuteHTMLString(conf.HTML, data); err != nil {
		return fmt.Errorf("template of html: %w", err)
	}
	return nil
}

// send makes one call. It returns at ctx's end at the latest, whether the
// notifier comes back or not: one that hangs holds its slot until it does.
func (i *integration) send(ctx context.Context, alerts []*alert.Alert) error {
	ctx, cancel := context.WithTimeout(ctx, maxCall)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return &remote.Error{Op: i.op(), Class: remote.NotSent, Err: err}
	}
	select {
	case i.slots <- struct{}{}:
	case <-ctx.Done():
		return &remote.Error{Op: i.op(), Class: remote.NotSent, Reason: "earlier calls have not come back", Err: ctx.Err()}
	}
	c := &call{ctx: ctx, cancel: cancel}
	if i.watch != nil && cap(i.slots) == 1 {
		i.watch.single.Store(c)
	}
	ctx = context.WithValue(ctx, callKey{}, c)
	done := make(chan error, 1)
	go func() {
		defer func() { <-i.slots }()
		done <- i.guarded(ctx, alerts)
	}()
	select {
	case err := <-done:
		return i.outcome(c, err)
	case <-ctx.Done():
	}
	t := time.NewTimer(afterward)
	defer t.Stop()
	select {
	case err := <-done:
		return i.outcome(c, err)
	case <-t.C:
		if last, ok := c.last(); ok && last.failed() {
			return i.outcome(c, ctx.Err())
		}
		return &remote.Error{Op: i.op(), Class: remote.Unknown, Reason: "it does not come back", Err: ctx.Err()}
	}
}

func (i *integration) op() string { return "notify " + i.String() }

// guarded makes a panic of the notifier an error.
func (i *integration) guarded(ctx context.Context, alerts []*alert.Alert) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p}
		}
	}()
	if i.check != nil {
		if err := i.check(ctx, alerts); err != nil {
			return unfit{err}
		}
	}
	_, err = i.Notify(ctx, alerts...)
	return err
}

type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// unfit is an error of the templates, found before anything was sent.
type unfit struct{ error }
