package app

import (
	"fmt"
	"io"

	"github.com/tocsin/tocsin/app/migrate"
)

// InitOptions choose what `tocsin init` writes.
type InitOptions struct {
	From    string // an alertmanager.yml; "": a minimal config
	Out     string
	Cluster string
	URL     string // Tocsin's address, as Alertmanager reaches it
	Force   bool
	DryRun  bool
}

// Init writes a first config and says what is left to do.
func Init(w io.Writer, o InitOptions) error {
	mo := migrate.Options{From: o.From, Out: o.Out, Cluster: o.Cluster, URL: o.URL}
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
