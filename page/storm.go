package page

// Storm is what a receiver's many new problems are told by while there are too
// many to tell of each: a problem of its own, whose members are the rules that
// fire.
type Storm struct {
	Rules  map[string]Tally `json:"rules"`            // by alertname, at most a hundred; the rest under ""
	Total  int              `json:"total"`            // problems that were folded into it
	Open   int              `json:"open"`             // of them, those that are open
	Calmed bool             `json:"calmed,omitempty"` // no more are folded in
}

// Tally counts the problems of one rule inside a storm.
type Tally struct {
	Severity Severity `json:"severity"` // the worst
	Total    int      `json:"total"`
	Open     int      `json:"open"`
	Sample   Labels   `json:"sample,omitempty"` // group labels of the first
}

// Gust is one problem's part in a storm: it blew in, or it is over.
type Gust struct {
	Problem  string   `json:"problem"`
	Receiver string   `json:"receiver"`
	Alert    string   `json:"alert"` // alertname of its worst
	Severity Severity `json:"severity"`
	Labels   Labels   `json:"labels,omitempty"` // of its group
	Over     bool     `json:"over,omitempty"`
}
