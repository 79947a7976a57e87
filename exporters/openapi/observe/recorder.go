package observe

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// recorder sees what is answered. It hides nothing that the writer below can do.
type recorder struct {
	http.ResponseWriter
	status  int
	written int64
	size    int64 // of the request's body
	sample  *exchange
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader keeps the status; those of 1xx but 101 are only on the way.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		r.status = status
		if r.sample != nil {
			r.sample.answered(status, r.Header())
		}
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) begin() {
	if r.status == 0 {
		r.status = http.StatusOK
		if r.sample != nil {
			r.sample.answered(http.StatusOK, r.Header())
		}
	}
}

// Write counts.
func (r *recorder) Write(b []byte) (int, error) {
	r.begin()
	n, err := r.ResponseWriter.Write(b)
	r.written += int64(n)
	if r.sample != nil {
		r.sample.response.add(b[:n])
	}
	return n, err
}

// ReadFrom lets the writer below send a file its own way.
func (r *recorder) ReadFrom(from io.Reader) (int64, error) {
	to, ok := r.ResponseWriter.(io.ReaderFrom)
	if !ok || r.sample != nil {
		return io.Copy(writeOnly{r}, from)
	}
	r.begin()
	n, err := to.ReadFrom(from)
	r.written += n
	return n, err
}

// writeOnly keeps io.Copy from calling ReadFrom again.
type writeOnly struct{ io.Writer }

// Flush is for handlers that ask for a Flusher.
func (r *recorder) Flush() {
	r.begin()
	_ = http.NewResponseController(r.ResponseWriter).Flush() // a Flusher has no error to return
}

// Hijack is for handlers that ask for a Hijacker: WebSockets.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil && r.status == 0 {
		r.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// counted counts a body of unknown length as it is read.
type counted struct {
	io.ReadCloser
	n *int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	*c.n += int64(n)
	return n, err
}

// shallow is a copy whose body can be another.
func shallow(r *http.Request) *http.Request { return r.WithContext(r.Context()) }
