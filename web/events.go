package web

import (
	"fmt"
	"net/http"
	"time"
)

// The bounds of live pages. A browser that finds no place asks again by itself.
const (
	maxLive   = 512              // live pages at once
	heartbeat = 15 * time.Second // keeps proxies from closing what is quiet
	liveFor   = 15 * time.Minute // then the browser connects anew, and shows its cookie again
	calm      = time.Second      // between two signals about one problem
	calmer    = 3 * time.Second  // about all: in a storm, lists change all the time, and each is rendered for its reader
	writeFor  = 10 * time.Second // who does not read loses the connection
)

// events tells a browser that something has changed, of ?problem= or of all. It
// does not say what: the browser asks for the part that it shows.
func (s *Server) events(w http.ResponseWriter, r *http.Request, v visitor) {
	select {
	case s.live <- struct{}{}:
		defer func() { <-s.live }()
	default:
		w.Header().Set("Retry-After", "30")
		s.trouble(w, r, v, &Refusal{http.StatusServiceUnavailable, "Too many live pages are open."})
		return
	}
	s.Metrics.live.Inc()
	defer s.Metrics.live.Dec()
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Time{}) // the listener's would end it; where it cannot be set there is none
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	problem, quiet := r.URL.Query().Get("problem"), calm
	if problem == "" {
		quiet = calmer
	}
	changed := s.Board.Follow(r.Context(), problem)
	beat, end := time.NewTicker(heartbeat), time.NewTimer(liveFor)
	defer beat.Stop()
	defer end.Stop()
	defer func() { _ = conn.SetWriteDeadline(time.Time{}) }() // the connection may serve another request
	say := func(text string) bool {
		_ = conn.SetWriteDeadline(time.Now().Add(writeFor))
		_, err := fmt.Fprint(w, text)
		return err == nil && conn.Flush() == nil
	}
	for ok := say("retry: 3000\nevent: hello\ndata: 1\n\n"); ok; {
		select {
		case <-r.Context().Done():
			return
		case <-s.Closing:
			return
		case <-end.C:
			return
		case <-beat.C:
			ok = say(": still here\n\n")
		case <-changed:
			ok = say("event: changed\ndata: 1\n\n")
			pause(r.Context(), quiet)
		}
	}
}
