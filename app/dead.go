package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/web"
)

// dead answers the deliveries that were given up, newest first.
func (a *api) dead(w http.ResponseWriter, r *http.Request) {
	letters, err := notify.Dead(r.Context(), a.store)
	if err != nil {
		a.fail(w, http.StatusServiceUnavailable, err)
		return
	}
	hidden := a.redact()
	for i, l := range letters {
		if len(hidden) == 0 {
			break
		}
		v, err := a.archive.Page(r.Context(), l.Problem, l.Episode)
		switch {
		case errors.Is(err, store.ErrNotFound):
			letters[i].Title = "" // what it hid is no longer known
		case err != nil:
			a.fail(w, http.StatusServiceUnavailable, err)
			return
		default:
			letters[i].Title = v.Title
		}
	}
	slices.SortStableFunc(letters, func(x, y notify.DeadLetter) int { return y.At.Compare(x.At) })
	writeJSON(w, http.StatusOK, slices.Concat([]notify.DeadLetter{}, letters))
}

// deadRef names a delivery that was given up.
type deadRef struct {
	Target  string `json:"target"` // kind/name
	Problem string `json:"problem"`
	Episode int    `json:"episode"`
}

// redrive has a delivery tried again. The answer, 202, says that this is on disk;
// what comes of it stands on the page and its timeline.
func (a *api) redrive(w http.ResponseWriter, r *http.Request, who web.Operator) {
	var ref deadRef
	err := readJSON(w, r, &ref)
	if err == nil && (ref.Target == "" || ref.Problem == "" || ref.Episode < 1) {
		err = errors.New("write target, problem and episode, as GET /api/v1/dead has them")
	}
	if err != nil {
		a.fail(w, http.StatusBadRequest, err)
		return
	}
	switch err := notify.Redrive(r.Context(), a.store, ref.Target, ref.Problem, ref.Episode, a.acts.Now()); {
	case errors.Is(err, store.ErrNotFound):
		a.fail(w, http.StatusNotFound, errors.New("there is no such dead letter, or no longer, or its page is gone"))
	case err != nil:
		a.fail(w, http.StatusServiceUnavailable, err)
	default:
		a.log.Info("operator drives a dead letter again", "page", ref.Problem, "episode", ref.Episode, "target", ref.Target, "operator", who.Name)
		writeJSON(w, http.StatusAccepted, ref)
	}
}

// DeadOptions choose what `tocsin pages dead` lists.
type DeadOptions struct {
	Gateway
	JSON bool
}

// Dead lists the deliveries that were given up, newest first.
func Dead(ctx context.Context, w io.Writer, o DeadOptions) error {
	letters, err := o.dead(ctx)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(w, letters)
	}
	if len(letters) == 0 {
		_, err := fmt.Fprintln(w, "no delivery was given up")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TARGET\tPAGE\tSINCE\tSEVERITY\tWHAT\tRECEIVER\tTITLE\tERROR")
	for _, l := range letters {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Target, pageID(l.Problem, l.Episode), stamped(l.At), l.Severity, l.Verb,
			notify.Clean(l.Receiver, 30), notify.Clean(l.Title, 80), notify.Clean(l.Error, 120))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, "mend what refused them, then: tocsin pages redrive TARGET PAGE, or --all")
	return err
}

func (g Gateway) dead(ctx context.Context) ([]notify.DeadLetter, error) {
	letters := []notify.DeadLetter{}
	return letters, g.ask(ctx, http.MethodGet, "/api/v1/dead", nil, &letters)
}

// RedriveOptions choose what is driven again: all, or what one target was not
// told of one page.
type RedriveOptions struct {
	PageOptions
	Target string // kind/name
	All    bool
	DryRun bool // only say what would be
}

// Redrive has deliveries tried again that were given up.
func Redrive(ctx context.Context, w io.Writer, o RedriveOptions) error {
	if o.All == (o.Target != "" || o.Page != "") || !o.All && o.Page == "" {
		return errors.New("write --all, or a target and a page; tocsin pages dead lists them")
	}
	letters, err := o.dead(ctx)
	if err != nil {
		return err
	}
	if letters, err = o.choose(letters); err != nil {
		return err
	}
	var errs []error
	done := map[bool]string{true: "would be tried again", false: "is tried again"}[o.DryRun]
	for _, l := range letters {
		if !o.DryRun {
			if err := o.ask(ctx, http.MethodPost, "/api/v1/dead/redrive", deadRef{l.Target, l.Problem, l.Episode}, nil); err != nil {
				errs = append(errs, fmt.Errorf("%s %s: %w", l.Target, pageID(l.Problem, l.Episode), err))
				continue
			}
		}
		fmt.Fprintf(w, "%s %s %s: %s\n", l.Target, pageID(l.Problem, l.Episode), done, notify.Clean(l.Title, 80))
	}
	if len(letters) == 0 {
		fmt.Fprintln(w, "no delivery was given up")
	}
	return errors.Join(errs...)
}

// choose picks the letters that are meant.
func (o RedriveOptions) choose(letters []notify.DeadLetter) ([]notify.DeadLetter, error) {
	if o.All {
		return letters, nil
	}
	id, episode, err := o.split()
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(letters, func(l notify.DeadLetter) bool {
		return l.Target != o.Target || !strings.HasPrefix(l.Problem, id) || episode != 0 && l.Episode != episode
	})
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("%s was not given up for a page %s; tocsin pages dead lists what was", o.Target, o.Page)
	case slices.ContainsFunc(found, func(l notify.DeadLetter) bool { return l.Problem != found[0].Problem }):
		return nil, fmt.Errorf("several pages begin with %q: write more of it", id)
	}
	return found, nil
}
