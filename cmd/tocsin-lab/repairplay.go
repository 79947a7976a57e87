package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/world"
)

// People of the lab's Slack: the one may approve, the other may not.
const (
	operator  = "U0ANN"
	responder = "U0BOB"
)

// performance is a play while it is on. All it knows it has from the ledgers.
type performance struct {
	play
	w     *world.World
	tell  *told
	fault scenario.Fault
	heard int // lines of the thread that were told
}

// run plays to the end and says what did not hold.
func (p *performance) run(ctx context.Context) error {
	if err := p.through(ctx); err != nil {
		return fmt.Errorf("%w\nthe thread says:\n%s", err, p.thread())
	}
	return nil
}

func (p *performance) through(ctx context.Context) error {
	f, err := p.w.Board.Strike(p.kind, p.service, 0)
	if err != nil {
		return err
	}
	p.fault = f
	defer p.w.Board.Heal(f.ID)
	p.tell.line(p.play, "%s", f.Summary)
	if p.asks {
		if err := p.approve(ctx); err != nil {
			return err
		}
	}
	last := p.lines[len(p.lines)-1]
	if err := p.until(ctx, last, func() bool { return strings.Contains(p.thread(), last) }); err != nil {
		return err
	}
	healed := !slices.ContainsFunc(p.w.Board.Active(), func(g scenario.Fault) bool { return g.ID == f.ID })
	var errs []error
	if healed != p.asks {
		errs = append(errs, fmt.Errorf("the fault was ended by the playbook: %t, right is %t", healed, p.asks))
	}
	if !p.asks {
		errs = append(errs, p.rung(ctx))
		p.w.Board.Heal(f.ID) // as the people who were paged do
	}
	errs = append(errs, p.until(ctx, "the resolve in both places", p.over), p.launched(), inOrder(p.thread(), p.lines))
	return errors.Join(errs...)
}

// approve has somebody without the role press first, who is told so and changes
// nothing, and then an operator.
func (p *performance) approve(ctx context.Context) error {
	var button string
	err := p.until(ctx, "the button to approve", func() bool {
		m, ok := p.root()
		i := slices.IndexFunc(m.Current.Buttons, func(b fakeslack.Button) bool { return strings.HasPrefix(b.ActionID, "tocsin_approve_") })
		if !ok || i < 0 {
			return false
		}
		button = m.Current.Buttons[i].ActionID
		return strings.Contains(p.thread(), p.lines[0])
	})
	if err != nil {
		return err
	}
	if err := p.press(ctx, button, responder); err != nil {
		return err
	}
	err = p.until(ctx, "the word that a responder may not", func() bool { return p.whispered(responder, "you may not decide here") })
	if err != nil {
		return err
	}
	if n := len(p.jobs()); n > 0 {
		return fmt.Errorf("%d jobs were launched before anybody approved", n)
	}
	p.tell.line(p.play, "bob, who has no right to, pressed: told so, and nothing was launched")
	return p.press(ctx, button, operator)
}

// press presses a button by a signed request, as Slack sends it.
func (p *performance) press(ctx context.Context, button, user string) error {
	m, _ := p.root()
	got, err := p.w.FakeSlack.Press(ctx, fakeslack.Press{Channel: m.Channel, TS: m.TS, ActionID: button, User: user})
	if err != nil {
		return fmt.Errorf("press: %w", err)
	}
	if got.Status != http.StatusOK || got.Via != "http" {
		return fmt.Errorf("press by %s: status %d by %s %s, right is 200 by http", user, got.Status, got.Via, got.Error)
	}
	return nil
}

func (p *performance) whispered(user, words string) bool {
	m, _ := p.root()
	return slices.ContainsFunc(p.w.FakeSlack.Ledger().Whispers, func(w fakeslack.Whisper) bool {
		return w.TS == m.TS && w.User == user && strings.Contains(w.Text, words)
	})
}

// rung waits for the word to people: a further incident rings for it, the thread
// and a note have it, all with the evidence, and nothing is over yet.
func (p *performance) rung(ctx context.Context) error {
	last := p.lines[len(p.lines)-1]
	said := func(text string) bool {
		return inOrder(text, []string{last, "alerts of it that fire", "share of its requests that fail", " 0 changed", "output ends", "guards pass"}) == nil
	}
	err := p.until(ctx, "the further incident, and the evidence as a note", func() bool {
		all := p.incidents()
		return len(all) == 2 && strings.HasPrefix(all[1].Title, "people are needed: "+p.policy) && all[1].Notified == 1 &&
			slices.ContainsFunc(all[1].Notes, func(n fakepagerduty.Note) bool { return said(n.Content) })
	})
	if !said(p.thread()) {
		err = errors.Join(err, fmt.Errorf("the thread has no evidence after %q", last))
	}
	m, _ := p.root()
	loud := slices.ContainsFunc(p.w.FakeSlack.Ledger().Replies(m.TS), func(r fakeslack.Message) bool {
		return r.Broadcast && strings.Contains(r.First.Visible, last)
	})
	if !loud {
		err = errors.Join(err, errors.New("that people are needed was not said to the channel"))
	}
	if slices.ContainsFunc(p.incidents(), func(in fakepagerduty.Incident) bool { return in.Status == "resolved" }) {
		err = errors.Join(err, errors.New("an incident of PagerDuty is over while the fault is there"))
	}
	return err
}

// launched judges the jobs: the meant templates once each, in their order, on
// the target and nothing else, all of them successful.
func (p *performance) launched() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	var names []string
	target := p.fault.Trait[p.label]
	for _, j := range p.jobs() {
		names = append(names, j.Template)
		limit, hosts := target, []string{target}
		if p.variable != "" {
			limit, hosts = "", []string{"control"}
			if j.Vars[p.variable] != target {
				bad("job %d has %s=%v, right is %s", j.ID, p.variable, j.Vars[p.variable], target)
			}
		}
		if j.Limit != limit || !slices.Equal(j.Hosts, hosts) {
			bad("job %d has limit %q and touched %q, right are %q and %q", j.ID, j.Limit, j.Hosts, limit, hosts)
		}
		if j.Status != "successful" {
			bad("job %d is %s: %s", j.ID, j.Status, j.Output)
		}
	}
	if !slices.Equal(names, p.templates) {
		bad("launched was %q, right is %q", names, p.templates)
	}
	return errors.Join(errs...)
}

// jobs are those of the play's templates.
func (p *performance) jobs() []fakeawx.Job {
	return slices.DeleteFunc(p.w.FakeAWX.Ledger().Jobs, func(j fakeawx.Job) bool { return !slices.Contains(p.templates, j.Template) })
}

// root is the one message of the fault.
func (p *performance) root() (fakeslack.Message, bool) {
	for _, m := range p.w.FakeSlack.Ledger().Roots() {
		if said := m.First.Visible + m.First.Text; strings.Contains(said, p.fault.Alert) && strings.Contains(said, p.service) {
			return m, true
		}
	}
	return fakeslack.Message{}, false
}

// incidents are PagerDuty's of the fault, the first one first.
func (p *performance) incidents() []fakepagerduty.Incident {
	return slices.DeleteFunc(p.w.FakePD.Ledger().Incidents, func(in fakepagerduty.Incident) bool {
		said := in.Title + string(in.Details)
		return !strings.Contains(said, p.fault.Alert) || !strings.Contains(said, p.service)
	})
}

// over is whether both places say that it is.
func (p *performance) over() bool {
	m, _ := p.root()
	all := p.incidents()
	open := slices.ContainsFunc(all, func(in fakepagerduty.Incident) bool { return in.Status != "resolved" })
	return len(all) > 0 && !open && strings.Contains(strings.ToLower(m.Current.Visible+m.Current.Text), "resolved")
}

// thread is what stands under the message.
func (p *performance) thread() string {
	m, ok := p.root()
	if !ok {
		return ""
	}
	var b strings.Builder
	for _, r := range p.w.FakeSlack.Ledger().Replies(m.TS) {
		b.WriteString(r.Current.Visible + "\n")
	}
	return b.String()
}

// hear tells what the thread says of the policy since it was last told.
func (p *performance) hear() {
	lines := slices.DeleteFunc(strings.Split(p.thread(), "\n"), func(s string) bool { return !strings.Contains(s, p.policy) })
	for _, l := range lines[min(p.heard, len(lines)):] {
		if r := []rune(l); len(r) > 160 {
			l = string(r[:160]) + "…"
		}
		p.tell.line(p.play, "%s", l)
	}
	p.heard = max(p.heard, len(lines))
}

// until waits for something, and tells the thread meanwhile.
func (p *performance) until(ctx context.Context, what string, ok func() bool) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		done := ok()
		p.hear()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case err := <-p.w.Failed():
			return err
		case <-tick.C:
		}
	}
}

// inOrder says which of the words a text does not have after those before it.
func inOrder(text string, words []string) error {
	rest := text
	for _, w := range words {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			return fmt.Errorf("the thread does not say %q where it should", w)
		}
		rest = after
	}
	return nil
}
