// Package notify says what is known to the people a receiver names: each
// target once, in order, with a receipt as the proof, and never twice because
// nobody knows whether the first time arrived.
package notify

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/page"
)

// Notifier is one target. Notify brings what the target shows to m.Page and
// returns the receipt as far as it came. Its error is a *remote.Error whose
// class is the whole truth about the outcome: the room decides from it whether
// to try again (NotSent), to ask first (Unknown), to say it plainer (Content)
// or to give up on the target (Config).
type Notifier interface {
	Notify(ctx context.Context, m Message) (page.Receipt, error)
}

// Finder is a Notifier whose service can be asked what became of a message of
// unknown outcome. found false with a nil error means that sending it again
// doubles nothing: it is surely not there, or the service knows a repeat by its
// key. An error of class Config means that it can never be asked.
type Finder interface {
	Find(ctx context.Context, m Message) (r page.Receipt, found bool, err error)
}

// Verb is what a message does to what the target shows.
type Verb string

// The verbs. One episode is opened once, updated often, resolved once.
const (
	VerbOpen    Verb = "open"
	VerbUpdate  Verb = "update"
	VerbResolve Verb = "resolve"
	// VerbFollow says what changed beside the message: in its thread, or as a
	// further incident. A Follower is asked for it once the message shows the
	// page, and m.Updates is what it did not say yet.
	VerbFollow Verb = "follow"
	// VerbChart adds the picture, once the message stands. A Charter is asked.
	VerbChart Verb = "chart"
)

// Follower is a Notifier that can say beside its message what changed. It sets
// Receipt.Followed to the last update it has said; those it leaves out on
// purpose count as said. A Finder is asked about a follow of unknown outcome by
// its Receipt.Marker, with Verb follow.
type Follower interface {
	Follow(ctx context.Context, m Message) (page.Receipt, error)
}

// Charter is a Notifier that can show a chart beside its message.
type Charter interface {
	Chart(ctx context.Context, m Message, c page.Chart) error
}

// Message is the neutral message: what is said and in which order. A kind
// chooses only the layout.
type Message struct {
	Verb    Verb
	Page    page.Page
	Receipt page.Receipt // the ledger's line; Delivery is always set, Ref and Channel once it was opened
	Plain   bool         // the service refused the layout: say it in the simplest form it takes
	Repeat  bool         // the first may have arrived: say "possible repeat"
	Text    Text
	PageURL string        // the page's own page, "" when public_url is not set
	Owner   Owner         // whose it is; its handle comes from the config and may be mentioned
	Updates []page.Update // VerbFollow: what this target did not say yet, oldest first
	Instead string        // in whose place this target is told, and why, in words; untrusted
	Also    []string      // targets that were told in the place of this one
}

// Kind is one way to make a Notifier; app/kinds.go lists them.
type Kind struct {
	Name string
	// Config returns a pointer to the kind's own config section with its
	// defaults set, for the decoder, the schema and the reference.
	Config func() any
	// New builds a notifier from what Config returned, decoded and validated.
	// It reads secrets from their files and does not reach out.
	New func(cfg any, d Deps) (Notifier, error)
}

// Deps is what the house lends to a notifier.
type Deps struct {
	Name      string // the configured name
	Transport http.RoundTripper
	Log       *slog.Logger
	Reg       prometheus.Registerer
	Now       func() time.Time
	PublicURL string // Tocsin's own address as people open it, "" when public_url is not set
}

// Renderer is a Notifier that can show what it would send (`tocsin preview`).
type Renderer interface {
	Render(m Message) ([]byte, error) // JSON, as it would go over the wire, without credentials
}

// Checker is a Notifier that can prove its credentials without telling anybody.
type Checker interface {
	Check(ctx context.Context) error
}
