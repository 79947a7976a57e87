package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/tocsin/tocsin/page"
)

// maxListed is how many open problems one page shows: nobody reads on, and a
// phone has to lay them out.
const maxListed = 500

// listing is the page of open problems.
type listing struct {
	Rows       []Row
	More       int // rows that are not shown
	Folded     int // told of by storms
	Counts     []count
	Query      string
	Severity   page.Severity
	Receiver   string
	Storm      string
	Receivers  []string
	Open       int  // all that are open, whatever is looked for
	Unread     bool // not all are known yet
	Severities []page.Severity
}

type count struct {
	Severity page.Severity
	N        int
}

func severities() []page.Severity {
	return []page.Severity{page.Critical, page.Error, page.Warning, page.Info}
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, v visitor) {
	q := r.URL.Query()
	rows, all := s.Board.Open()
	l := listing{
		Query: q.Get("q"), Severity: page.Severity(q.Get("severity")), Receiver: q.Get("receiver"), Storm: q.Get("storm"),
		Open: len(rows), Unread: !all, Severities: severities(),
	}
	l.fill(rows)
	s.show(w, r, http.StatusOK, "open", frame{Name: "Open problems", Visitor: v, Live: true, Body: l})
}

// fill chooses the rows that are looked for, and counts them.
func (l *listing) fill(rows []Row) {
	sought, counts, open := words(l.Query), map[page.Severity]int{}, map[string]bool{}
	for _, row := range rows {
		open[row.Problem] = true
	}
	for _, row := range rows {
		if !slices.Contains(l.Receivers, row.Receiver) {
			l.Receivers = append(l.Receivers, row.Receiver)
		}
		if l.Severity != "" && row.Severity != l.Severity || l.Receiver != "" && row.Receiver != l.Receiver || !row.holds(sought) {
			continue
		}
		switch spoken := open[row.Folded] && len(sought) == 0; { // an open storm speaks for it, unless it is looked for
		case l.Storm != "" && row.Folded != l.Storm:
			continue
		case l.Storm == "" && spoken:
			l.Folded++
			continue
		}
		counts[row.Severity]++
		if len(l.Rows) == maxListed {
			l.More++
			continue
		}
		l.Rows = append(l.Rows, row)
	}
	slices.Sort(l.Receivers)
	for _, severity := range severities() {
		if n := counts[severity]; n > 0 {
			l.Counts = append(l.Counts, count{severity, n})
		}
	}
}

// past is the page of the history.
type past struct {
	Found
	Query      Query
	From, To   string
	Next       string // address of what follows; "": that was all
	Wrong      string
	Severities []page.Severity
}

func (s *Server) history(w http.ResponseWriter, r *http.Request, v visitor) {
	values := r.URL.Query()
	p := past{From: values.Get("from"), To: values.Get("to"), Severities: severities()}
	f := frame{Name: "History", Visitor: v}
	q, err := ParseQuery(values)
	p.Query = q
	if err != nil {
		p.Wrong = err.Error()
		f.Body = p
		s.show(w, r, http.StatusBadRequest, "history", f)
		return
	}
	if p.Found, err = s.Board.Find(r.Context(), q); err != nil {
		s.trouble(w, r, v, err)
		return
	}
	if p.After != "" {
		next := url.Values{}
		for _, name := range []string{"q", "severity", "receiver", "state", "from", "to", "match", "limit"} {
			if values.Get(name) != "" {
				next[name] = values[name]
			}
		}
		next.Set("after", p.After)
		p.Next = "/history?" + next.Encode()
	}
	f.Body = p
	s.show(w, r, http.StatusOK, "history", f)
}
