package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

// TablesOptions choose what `tocsin traits` explains.
type TablesOptions struct {
	Files []string // CSV, gzip or plain; - for standard input
	Kind  string   // "" tells it from the columns
	JSON  bool
}

// ExplainTables explains tables offline: one line of JSON or one paragraph of text per
// file. A file that cannot be read is an error, and does not keep the others
// from being explained.
func ExplainTables(in io.Reader, out io.Writer, o TablesOptions) error {
	var errs []error
	for _, name := range o.Files {
		r, err := traitsOf(in, name, o.Kind)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		if o.JSON {
			enc := json.NewEncoder(out)
			enc.SetEscapeHTML(false)
			err = enc.Encode(struct {
				File string `json:"file"`
				traits.Report
			}{name, r})
		} else {
			err = writeReport(out, name, r)
		}
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return errors.Join(errs...)
}

func traitsOf(in io.Reader, name, kind string) (traits.Report, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return traits.Report{}, errors.Unwrap(err) // the name is said by the caller
		}
		defer f.Close()
		in = f
	}
	t, err := traits.ReadCSV(in, kind)
	if err != nil {
		return traits.Report{}, err
	}
	return traits.Causes(t), nil
}

func writeReport(out io.Writer, name string, r traits.Report) error {
	tw := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tw, "%s: ", notify.Clean(name, 200))
	switch {
	case r.Note != "":
		fmt.Fprintf(tw, "not known: %s\n", r.Note)
	case r.None:
		fmt.Fprintf(tw, "nothing in common (%.0f ms)\n", r.Took)
	default:
		fmt.Fprintf(tw, "%d found, %s unexplained (%.0f ms)\n", len(r.Causes), page.Percent(r.Unexplained), r.Took)
		fmt.Fprintln(tw, "  TRAIT\tSHARE\tSCORE\tSTRENGTH\tALSO")
		for _, c := range r.Causes {
			var also []string
			for _, l := range c.Also {
				also = append(also, l.Name+"="+l.Value)
			}
			fmt.Fprintf(tw, "  %s\t%s\t%.1f\t%s\t%s\n", notify.Clean(c.Labels.String(), 200), page.Percent(c.Share), c.Score, c.Strength, notify.Clean(strings.Join(also, ", "), 200))
		}
	}
	if len(r.Scope) > 0 {
		fmt.Fprintf(tw, "  on all: %s\n", notify.Clean(r.Scope.String(), 400))
	}
	return tw.Flush()
}
