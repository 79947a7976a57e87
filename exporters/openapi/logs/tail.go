package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tocsin/tocsin/exporters/openapi/observe"
)

const (
	maxLine = 256 << 10              // bytes; a longer line is dropped. nginx takes 32 KiB of a request, and may write four for each
	every   = 250 * time.Millisecond // how often a file is looked at
	overlap = 5 * time.Second        // a server writes to the old file until it is told of the new one
	most    = 16                     // files that are read at once: rotated that often within overlap
)

// Metrics are those of all logs of a process.
type Metrics struct{ lines, dropped *prometheus.CounterVec }

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{
		lines: f.NewCounterVec(prometheus.CounterOpts{Name: "openapi_log_lines_total", Help: "Lines of access logs that were read."}, []string{"service"}),
		dropped: f.NewCounterVec(prometheus.CounterOpts{
			Name: "openapi_log_lines_dropped_total", Help: "Lines of access logs that tell of no request in the format of the config, or are longer than 256 KiB.",
		}, []string{"service", "reason"}),
	}
}

// Tail follows a file as it grows and is rotated: renamed and begun anew, or
// truncated.
type Tail struct {
	file   string
	parse  Parser
	record func(observe.Request)
	log    *slog.Logger

	lines, format, length prometheus.Counter

	told  bool         // that there is no file
	files []*following // those the name has had lately, the newest last
}

// following is one file that has the name, or had it.
type following struct {
	*os.File
	offset  int64
	partial []byte    // of a line whose end is not written yet
	skip    bool      // the rest of a line that is too long
	since   time.Time // another file has had the name
}

// NewTail makes a Tail, which gives to record what it reads.
func NewTail(service, file string, parse Parser, record func(observe.Request), m *Metrics, log *slog.Logger) *Tail {
	return &Tail{
		file: file, parse: parse, record: record, log: log,
		lines:  m.lines.WithLabelValues(service),
		format: m.dropped.WithLabelValues(service, "format"), length: m.dropped.WithLabelValues(service, "length"),
	}
}

// Run follows the file until ctx ends. What is in the file at the start is not
// read: it was counted before.
func (t *Tail) Run(ctx context.Context) {
	defer t.keep(func(*following) bool { return false })
	whence := io.SeekEnd
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := t.look(whence); err != nil {
			t.absent(ctx, err)
		}
		whence = io.SeekStart
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (t *Tail) absent(ctx context.Context, err error) {
	if !t.told {
		t.log.WarnContext(ctx, "the access log cannot be read", "file", t.file, "err", err)
	}
	t.told = true
}

// look reads what is new in the file that has the name, and in those that had it
// a moment ago; whence is where a file that has come to the name is begun.
func (t *Tail) look(whence int) error {
	err := t.begin(whence)
	for _, f := range t.files {
		err = errors.Join(err, t.read(f))
	}
	t.keep(func(f *following) bool { return f.since.IsZero() || time.Since(f.since) < overlap })
	return err
}

// begin opens the file that has the name, if it is not one of those that are read.
func (t *Tail) begin(whence int) error {
	named, err := os.Stat(t.file)
	if err != nil {
		if len(t.files) > 0 && errors.Is(err, fs.ErrNotExist) {
			return nil // renamed, and the new one may not be there yet
		}
		return err
	}
	if !named.Mode().IsRegular() {
		return fmt.Errorf("open %s: no regular file", t.file)
	}
	for i, f := range t.files {
		if mine, err := f.Stat(); err == nil && os.SameFile(named, mine) {
			t.files = append(slices.Delete(t.files, i, i+1), f)
			t.supersede()
			return nil
		}
	}
	file, err := os.Open(t.file)
	if err != nil {
		return err
	}
	f := &following{File: file}
	if f.offset, err = file.Seek(0, whence); err != nil {
		file.Close()
		return fmt.Errorf("open %s: %w", t.file, err)
	}
	t.files, t.told = append(t.files, f), false
	t.supersede()
	return nil
}

// supersede says of all files but the newest that another one has their name.
func (t *Tail) supersede() {
	last := len(t.files) - 1
	t.files[last].since = time.Time{}
	for i, f := range t.files[:last] {
		if f.since.IsZero() {
			f.since = time.Now()
		}
		if last-i >= most {
			f.since = f.since.Add(-overlap) // it is read once more
		}
	}
}

// keep closes the files that are not wanted any more.
func (t *Tail) keep(wanted func(*following) bool) {
	t.files = slices.DeleteFunc(t.files, func(f *following) bool {
		if wanted(f) {
			return false
		}
		f.Close()
		return true
	})
}

// read takes all lines that are complete.
func (t *Tail) read(f *following) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < f.offset { // truncated
		if f.offset, err = f.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read %s: %w", t.file, err)
		}
		f.partial, f.skip = f.partial[:0], false
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		f.offset += int64(n)
		t.take(f, buf[:n])
		if errors.Is(err, io.EOF) || n == 0 && err == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", t.file, err)
		}
	}
}

func (t *Tail) take(f *following, data []byte) {
	for {
		line, rest, complete := bytes.Cut(data, []byte("\n"))
		switch {
		case f.skip:
		case len(f.partial)+len(line) > maxLine:
			f.skip, f.partial = true, f.partial[:0]
			t.length.Inc()
		default:
			f.partial = append(f.partial, line...)
		}
		if !complete {
			return
		}
		if !f.skip {
			t.line(bytes.TrimSuffix(f.partial, []byte("\r")))
		}
		f.partial, f.skip, data = f.partial[:0], false, rest
	}
}

func (t *Tail) line(line []byte) {
	if len(line) == 0 {
		return
	}
	t.lines.Inc()
	r, err := t.parse(line)
	if err != nil {
		t.format.Inc()
		return
	}
	t.record(r)
}
