package model

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Limits of what is read for one service.
const (
	maxFile  = 32 << 20 // bytes of one file; the largest public document has 13 MB
	maxTotal = 64 << 20 // bytes of all files
	maxFiles = 256      // files and URLs
)

// ErrRefused marks a reference that leads where a document may not reach.
var ErrRefused = errors.New("refused")

// source reads a document and what it refers to, and nothing else: a file stays
// below its root, also through symbolic links; a URL stays at its origin.
type source struct {
	ctx    context.Context
	root   *os.Root // of a file
	origin *url.URL // of a URL
	client *http.Client
	total  int
	files  int
}

// open prepares to read a document. location is a file below root, or an http
// or https URL. Without a root, the file's folder is.
func open(ctx context.Context, location, root string) (*source, *url.URL, error) {
	if u, err := url.Parse(location); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		s := &source{ctx: ctx, origin: u}
		s.client = &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 5 {
				return errors.New("more than 5 redirects")
			}
			return s.sameOrigin(r.URL)
		}}
		return s, u, nil
	}
	if root == "" {
		root = filepath.Dir(location)
	}
	name, err := filepath.Rel(root, location)
	if err != nil {
		return nil, nil, fmt.Errorf("document %s: %w", location, err)
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, nil, fmt.Errorf("root: %w", err)
	}
	return &source{ctx: ctx, root: dir}, &url.URL{Path: filepath.ToSlash(name)}, nil
}

func (s *source) close() {
	if s.root != nil {
		s.root.Close()
	}
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
}

func (s *source) sameOrigin(u *url.URL) error {
	if u.Scheme != s.origin.Scheme || u.Host != s.origin.Host {
		return fmt.Errorf("%w: %s://%s is not the document's origin %s://%s", ErrRefused, u.Scheme, u.Host, s.origin.Scheme, s.origin.Host)
	}
	return nil
}

// read is one file or URL within the limits.
func (s *source) read(u *url.URL) ([]byte, error) {
	if s.files++; s.files > maxFiles {
		return nil, fmt.Errorf("%w: more than %d files", ErrRefused, maxFiles)
	}
	body, err := s.open(u)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", u.Redacted(), err)
	}
	if s.total += len(data); len(data) > maxFile || s.total > maxTotal {
		return nil, fmt.Errorf("%w: %s is larger than %d MiB, or all files than %d MiB", ErrRefused, u.Redacted(), maxFile>>20, maxTotal>>20)
	}
	return data, nil
}

func (s *source) open(u *url.URL) (io.ReadCloser, error) {
	if s.origin == nil {
		return s.openFile(u)
	}
	u = s.origin.ResolveReference(u) // an absolute path has lost its origin
	if err := s.sameOrigin(u); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("document %s: status %d", u.Redacted(), resp.StatusCode)
	}
	return resp.Body, nil
}

func (s *source) openFile(u *url.URL) (io.ReadCloser, error) {
	if u.Scheme != "" || u.Host != "" {
		return nil, fmt.Errorf("%w: a document in a file refers to files below its root, not to %s", ErrRefused, u.Redacted())
	}
	if !filepath.IsLocal(filepath.FromSlash(u.Path)) {
		return nil, fmt.Errorf("%w: %s is outside of the root", ErrRefused, u.Path)
	}
	file, err := s.root.OpenFile(filepath.FromSlash(u.Path), os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would hold us
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		file.Close()
		return nil, fmt.Errorf("%w: %s is no regular file", ErrRefused, u.Path)
	}
	return file, nil
}
