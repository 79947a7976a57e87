package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin/tocsin/lab/drill"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
)

// screen is where a person looks. Colour only on a terminal.
type screen struct {
	out  io.Writer
	live bool
}

func (s *screen) Write(b []byte) (int, error) { return s.out.Write(b) }

func (s *screen) line(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *screen) title(format string, args ...any) {
	s.line("%s", s.paint("1", fmt.Sprintf(format, args...)))
}

func (s *screen) paint(code, text string) string {
	if !s.live {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) verdict(ok bool, right, wrong string) string {
	if ok {
		return s.paint("32", right)
	}
	return s.paint("31", wrong)
}

func (s *screen) indent(text string) {
	for l := range strings.Lines(text) {
		s.line("    %s", strings.TrimRight(l, "\n"))
	}
}

func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func span(s ttn.Span) string {
	return fmt.Sprintf("%.0f\t%.0f\t%.0f", s.Best.Seconds(), s.Mean.Seconds(), s.Worst.Seconds())
}

// lanes are the settings whose predictions stand beside one another: stock
// first, for it is what most people have.
func lanes() []ttn.Settings { return []ttn.Settings{ttn.Stock(), ttn.Fast()} }

// predict prints what the formula says about a fault, by stage.
func (s *screen) predict(f scenario.Fault) {
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "  seconds after the fault\tstock best\tmean\tworst\tfast best\tmean\tworst\t")
	sums := make([]ttn.Span, len(lanes()))
	for i, stage := range ttn.StageNames() {
		cells, known := make([]string, len(lanes())), false
		for j, lane := range lanes() {
			chain, fires := lane.Chain(f.Symptom, f.Level)
			if !fires {
				cells[j], known = "never\t\t", known || i == 1
				continue
			}
			for _, st := range chain.Stages() {
				if st.Name == stage {
					sums[j], known = sums[j].Plus(st.Span), true
				}
			}
			cells[j] = span(sums[j])
		}
		if known {
			fmt.Fprintf(t, "  %s\t%s\t\n", stage, strings.Join(cells, "\t"))
		}
	}
	_ = t.Flush() // the screen is all there is to write to
}

// clock prints one page's stages as measured.
func (s *screen) clock(o drill.Outcome) {
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "  stage\tafter the fault\ttook\t")
	for _, stage := range ttn.StageNames()[1:] {
		since, ok := o.Times.Since(stage)
		took, _ := o.Times.Took(stage)
		if !ok {
			fmt.Fprintf(t, "  %s\tnot seen\t\t\n", stage)
			continue
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t\n", stage, seconds(since), seconds(took))
	}
	_ = t.Flush()
}

// addresses prints where to look.
func (s *screen) addresses(w *world.World) {
	s.title("look at")
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	row := func(what, url string) { fmt.Fprintf(t, "  %s\t%s\n", what, url) }
	row("Slack", "http://"+w.Slack+"/")
	row("PagerDuty", "http://"+w.PagerDuty+"/")
	row("Tocsin", "http://"+w.Tocsin+"/metrics")
	row("pages", fmt.Sprintf("http://%s/ (sign in with the token in %s/%s)", w.Operators, w.Dir, w.SecretFiles.Operator))
	row("shell", fmt.Sprintf("bin/tocsin pages ls --config.file %s/tocsin.yml", w.Dir))
	for i, addr := range w.Alertmanagers {
		row(fmt.Sprintf("Alertmanager %d", i+1), "http://"+addr+"/")
	}
	for i, addr := range w.Prometheus {
		row("Prometheus "+world.Replica(i), "http://"+addr+"/alerts")
	}
	if w.Query.HTTP != "" {
		row("Thanos Query", "http://"+w.Query.HTTP+"/")
	}
	row("one target", "http://"+w.Plan.Fleet+"/t/0/metrics")
	row("strike", "tocsin-lab fault bad-host --service cart --url http://"+w.Plan.Fleet)
	row("logs", w.Dir+"/logs")
	row("tour", fmt.Sprintf("docs/wishes.md, after:  . %s/env", w.Dir))
	_ = t.Flush()
}
