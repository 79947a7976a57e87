package notify

import (
	"context"
	"net/http"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// ErrNotFound is store.ErrNotFound, for kinds: they know no store.
var ErrNotFound = store.ErrNotFound

// Desk is where call-backs of services are handed in: buttons that were
// pressed, incidents that were acknowledged. The house lends it to kinds.
type Desk interface {
	// Put makes an event durable; a kind answers its service after that. The
	// event's Problem and Episode come from Lookup. An ID that was put before
	// changes nothing.
	Put(ctx context.Context, e page.Event) error
	// Lookup finds the receipt behind a delivery id, or behind a reference of the
	// service at this target (Receipt.Ref, an entry of Receipt.Further);
	// store.ErrNotFound where there is none.
	Lookup(ctx context.Context, ref string) (page.Receipt, error)
	// Page returns the page as it is shown now, redacted.
	Page(ctx context.Context, problem string) (page.Page, error)
	// May reports whether one of these identities of a person at this kind of
	// service (user and group ids) may do this, and how the person is called. Of
	// what decides on a run, run is the one that asks.
	May(ids []string, verb page.Verb, run page.Run) (name string, ok bool)
}

// Caller is a Notifier whose service calls back over HTTP. The house serves
// what it returns at /callback/<kind>/<name> on the front door; it checks the
// service's signature itself.
type Caller interface {
	Callback(d Desk) http.Handler
}

// Listener is a Notifier whose service is listened to by a connection that the
// notifier opens. Listen returns when ctx ends, or with an error that trying
// again does not mend.
type Listener interface {
	Listen(ctx context.Context, d Desk) error
}
