package main

import "github.com/tocsin/tocsin/app"

type traitsCmd struct {
	CSV    []string `name:"csv" required:"" sep:"none" placeholder:"FILE" help:"A table of labels and measures, gzip or plain; - reads standard input. May be given several times, more files may follow."`
	Files  []string `arg:"" optional:"" name:"file" help:"More tables."`
	Kind   string   `default:"" enum:",additive,ratio,counter,hist,state" placeholder:"KIND" help:"additive, ratio, counter, hist or state; told from the columns if not given."`
	Output string   `short:"o" default:"text" enum:"text,json" help:"text or json (one line per file)."`
}

// Help shows examples under the flags.
func (traitsCmd) Help() string {
	return `Columns that are no measure are labels. The measures, by kind:

  additive  real,predict                             parts of a sum, and what was foreseen
  ratio     base_err,base_total,now_err,now_total    bad and all events, before and now
  counter   base,now                                 events, before and now
  hist      base_le_0.1,…,now_le_0.1,…               events by size, not cumulative
  state     firing                                   0 or 1

  tocsin traits --csv errors.csv
  tocsin traits --csv a.csv.gz b.csv.gz -o json | jq -r '.causes[].labels'
  zcat old.csv.gz | tocsin traits --csv - --kind ratio`
}

// Run explains the tables.
func (k *traitsCmd) Run(std *streams) error {
	return app.ExplainTables(std.in, std.out, app.TablesOptions{
		Files: append(k.CSV, k.Files...), Kind: k.Kind, JSON: k.Output == "json",
	})
}
