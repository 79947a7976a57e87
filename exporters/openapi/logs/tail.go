package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tocsin/tocsin/exporters/openapi/observe"
)

const (
	maxLine = 256 << 10              // bytes; a longer line is dropped. nginx takes 32 KiB of a request, and may write four for each
	every   = 250 * time.Millisecond // how often a file is looked at
	overlap = 5 * time.Second        // a server writes to the old file until it is told of the new one
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

	open    *os.File
	offset  int64
	partial []byte // of a line whose end is not written yet
	skip    bool   // the rest of a line that is too long
	told    bool   // that there is no file

	since time.Time // another file has had the name
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
	defer t.close()
	if err := t.begin(io.SeekEnd); err != nil {
		t.absent(ctx, err)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := t.look(); err != nil {
			t.absent(ctx, err)
		}
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

func (t *Tail) close() {
	if t.open != nil {
		t.open.Close()
		t.open = nil
	}
}

func (t *Tail) begin(whence int) error {
	f, err := os.Open(t.file)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("no regular file")
	}
	if err == nil {
		t.offset, err = f.Seek(0, whence)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("open %s: %w", t.file, err)
	}
	t.open, t.partial, t.skip, t.told, t.since = f, t.partial[:0], false, false, time.Time{}
	return nil
}

// look reads what is new. A file that was renamed is read to its end before the
// next one is begun.
func (t *Tail) look() error {
	if t.open == nil {
		return t.begin(io.SeekStart)
	}
	mine, err := t.open.Stat()
	if err != nil {
		t.close()
		return err
	}
	if mine.Size() < t.offset { // truncated
		if t.offset, err = t.open.Seek(0, io.SeekStart); err != nil {
			return err
		}
		t.partial, t.skip = t.partial[:0], false
	}
	if err := t.read(); err != nil {
		return err
	}
	if !t.replaced(mine) {
		return nil
	}
	t.close()
	if err := t.begin(io.SeekStart); err != nil {
		return err
	}
	return t.read()
}

// replaced says whether another file has had the name for so long that nobody
// writes to this one any more.
func (t *Tail) replaced(mine os.FileInfo) bool {
	named, err := os.Stat(t.file)
	if err != nil || os.SameFile(named, mine) { // the new file may not be there yet
		t.since = time.Time{}
		return false
	}
	if t.since.IsZero() {
		t.since = time.Now()
	}
	return time.Since(t.since) >= overlap
}

// read takes all lines that are complete.
func (t *Tail) read() error {
	buf := make([]byte, 64<<10)
	for {
		n, err := t.open.Read(buf)
		t.offset += int64(n)
		t.take(buf[:n])
		if errors.Is(err, io.EOF) || n == 0 && err == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", t.file, err)
		}
	}
}

func (t *Tail) take(data []byte) {
	for {
		line, rest, complete := bytes.Cut(data, []byte("\n"))
		switch {
		case t.skip:
		case len(t.partial)+len(line) > maxLine:
			t.skip, t.partial = true, t.partial[:0]
			t.length.Inc()
		default:
			t.partial = append(t.partial, line...)
		}
		if !complete {
			return
		}
		if !t.skip {
			t.line(bytes.TrimSuffix(t.partial, []byte("\r")))
		}
		t.partial, t.skip, data = t.partial[:0], false, rest
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
