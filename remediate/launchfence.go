package remediate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// ErrLate says that a launch was not sent because it might no longer be its
// sender's to send.
var ErrLate = errors.New("too late to send")

// fence is until when a launch may leave, see store.Sure. A process that was
// stopped between its intent and its request finds its time over.
type fence struct{ until time.Time }

type fenceKey struct{}

func fenced(ctx context.Context, until time.Time) context.Context {
	return context.WithValue(ctx, fenceKey{}, fence{until})
}

// over looks at both clocks: a machine that slept may have stopped either.
func (f fence) over() bool {
	now := time.Now()
	return !now.Before(f.until) || !now.Round(0).Before(f.until.Round(0))
}

// Fenced returns a way out that lets no launch pass whose time is over: not its
// first byte, and not the last of its body, without which it is no request.
// Backends are given it.
func Fenced(next http.RoundTripper) http.RoundTripper { return fencedWay{next} }

type fencedWay struct{ next http.RoundTripper }

// RoundTrip is http.RoundTripper's.
func (w fencedWay) RoundTrip(req *http.Request) (*http.Response, error) {
	f, ok := req.Context().Value(fenceKey{}).(fence)
	if !ok || req.Method == http.MethodGet {
		return w.next.RoundTrip(req)
	}
	if f.over() {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, ErrLate
	}
	if req.Body != nil && req.Body != http.NoBody {
		req = req.WithContext(req.Context())
		req.Body, req.GetBody = fencedBody{req.Body, f}, nil // nor is it sent again
	}
	return w.next.RoundTrip(req)
}

// fencedBody does not end once its time is over.
type fencedBody struct {
	io.ReadCloser
	f fence
}

// Read is io.Reader's. The transport reads once more than there is before it lets
// go of the last bytes.
func (b fencedBody) Read(p []byte) (int, error) {
	if b.f.over() {
		return 0, ErrLate
	}
	return b.ReadCloser.Read(p)
}
