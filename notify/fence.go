package notify

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

// fence keeps a process that was stopped, or is very slow, from sending what
// somebody else goes on with. The store refuses such a holder; services do not. So
// a request leaves only while the lease is surely held, see store.Sure, and proves
// it anew where that time is over.
type fence struct {
	prove func(ctx context.Context) error // extends the lease

	mu    sync.Mutex
	until time.Time // with its monotonic reading: that goes on while a process is stopped
}

// over reports whether the lease may be lost by now. A machine that was asleep may
// have stopped its monotonic clock, and set the other when it woke: either counts.
func (f *fence) over() bool {
	now := time.Now()
	return !now.Before(f.until) || !now.Round(0).Before(f.until)
}

// hold returns nil while the lease is surely held.
func (f *fence) hold(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.over() {
		began := time.Now()
		if err := f.prove(ctx); err != nil {
			return &remote.Error{Op: keepLease, Class: remote.NotSent, Err: err}
		}
		f.until = began.Add(store.Sure)
	}
	return nil
}

// keepLease is the act that fails where a lease cannot be proven to be held: it
// says nothing of the target.
const keepLease = "keep lease"

type fenceKey struct{}

// Fenced returns a way out that lets no request of a delivery pass whose lease
// may be lost by now. It is asked before the request, which may take a while to
// connect, and again before the last byte of its body is handed on, for a request
// is none before it is whole.
func Fenced(next http.RoundTripper) http.RoundTripper { return fenced{next} }

type fenced struct{ next http.RoundTripper }

// RoundTrip is http.RoundTripper's.
func (f fenced) RoundTrip(req *http.Request) (*http.Response, error) {
	held, ok := req.Context().Value(fenceKey{}).(*fence)
	if !ok {
		return f.next.RoundTrip(req)
	}
	if err := held.hold(req.Context()); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	if req.Body == nil || req.Body == http.NoBody {
		return f.next.RoundTrip(req)
	}
	body, again := req.Body, req.GetBody
	req = req.WithContext(req.Context()) // the caller's own stays as it is
	req.Body = fencedBody{body, req.Context(), held}
	if again != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			return fencedBody{body, req.Context(), held}, err
		}
	}
	return f.next.RoundTrip(req)
}

// fencedBody is a request's body that does not end while the lease may be lost.
type fencedBody struct {
	io.ReadCloser
	ctx  context.Context
	held *fence
}

// Read is io.Reader's. The transport reads once more than there is before it lets
// go of the last bytes.
func (b fencedBody) Read(p []byte) (int, error) {
	if err := b.held.hold(b.ctx); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p)
}
