package app

import (
	"fmt"
	"io"

	"github.com/tocsin/tocsin/app/migrate"
	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify/alertmanager"
)

// InitOptions choose what `tocsin init` writes.
type InitOptions struct {
	From    string // an alertmanager.yml; "": a minimal config
	Out     string
	Cluster string
	URL     string // Tocsin's address, as Alertmanager reaches it
	Force   bool
	DryRun  bool

	ExternalURL string // Alertmanager's address as people open it; "": localhost's
}

// Init writes a first config and says what is left to do.
func Init(w io.Writer, o InitOptions) error {
	mo := migrate.Options{From: o.From, Out: o.Out, Cluster: o.Cluster, URL: o.URL, ExternalURL: o.ExternalURL, Accepts: accepts}
	r := migrate.Minimal(mo)
	if o.From != "" {
		var err error
		if r, err = migrate.FromAlertmanager(mo); err != nil {
			return err
		}
	}
	if o.DryRun {
		r.Show(w)
		r.Tell(w)
		return nil
	}
	if err := r.Write(w, o.Force); err != nil {
		return err
	}
	r.Tell(w)
	_, err := fmt.Fprintf(w, "\nThen: tocsin check --config.file %s\n", o.Out)
	return err
}

// accepts says what the kind alertmanager refuses in a section; that its files
// are there is left to check.
func accepts(with []byte) error {
	s, err := config.Parse("", with)
	if err != nil {
		return err
	}
	return s.Decode(alertmanager.Kind().Config())
}
