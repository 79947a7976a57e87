package remediate

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a container may hold no time zones, and a window must not vanish with them
)

// calendar keeps still within the policy's windows.
type calendar struct{}

// Name implements Guard.
func (calendar) Name() string { return "calendar" }

// Check implements Guard.
func (calendar) Check(_ context.Context, c Candidate) Verdict {
	rules := c.Policy.Guards.Calendar
	if len(rules) == 0 {
		return pass("no windows")
	}
	spans := make([]span, len(rules))
	for i, w := range rules {
		s, err := w.span()
		if err != nil {
			return blind(fmt.Sprintf("calendar[%d]: %v", i, err))
		}
		spans[i] = s
	}
	for i, s := range spans {
		if s.holds(c.Now) {
			until, ends := within(spans, c.Now)
			if !ends {
				return deny("windows without an end")
			}
			return wait(until, "%s", rules[i]).saw("%s", shown(rules[i].Why))
		}
	}
	return pass("outside of %d windows", len(spans))
}

// String writes the window.
func (w Window) String() string {
	days := "every day"
	if len(w.Days) > 0 {
		days = strings.Join(w.Days, " ")
	}
	return fmt.Sprintf("nothing is done %s %s–%s %s", days, w.From, w.To, w.Zone)
}

// span is a window, read.
type span struct {
	days     [7]bool // by time.Weekday, of its beginning
	from, to int     // minutes of the day; to <= from: of the next
	zone     *time.Location
}

func (w Window) span() (span, error) {
	var s span
	var err error
	if w.Zone == "" || w.Zone == "Local" {
		return s, fmt.Errorf("zone: name an IANA time zone, such as Asia/Seoul")
	}
	if s.zone, err = time.LoadLocation(w.Zone); err != nil {
		return s, fmt.Errorf("zone: %q is no IANA time zone: write it as Asia/Seoul", w.Zone)
	}
	if s.from, err = minutes(w.From); err != nil || s.from == 24*60 {
		return s, fmt.Errorf("from: %q is no time of the day: write it as 09:00", w.From)
	}
	if s.to, err = minutes(w.To); err != nil {
		return s, fmt.Errorf("to: %q is no time of the day: write it as 10:00, or 24:00 for midnight", w.To)
	}
	for _, d := range w.Days {
		i := slices.Index(weekdays(), d)
		if i < 0 {
			return s, fmt.Errorf("days: %q is none of %s", d, strings.Join(weekdays(), ", "))
		}
		s.days[i] = true
	}
	if len(w.Days) == 0 {
		s.days = [7]bool{true, true, true, true, true, true, true}
	}
	return s, nil
}

func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// minutes reads 09:00 as minutes since midnight, up to 24:00.
func minutes(text string) (int, error) {
	h, m, ok := strings.Cut(text, ":")
	hour, herr := strconv.ParseUint(h, 10, 8)
	minute, merr := strconv.ParseUint(m, 10, 8)
	total := int(hour*60 + minute)
	if !ok || herr != nil || merr != nil || len(h) != 2 || len(m) != 2 || minute > 59 || total > 24*60 {
		return 0, fmt.Errorf("%q is no time of the day", text)
	}
	return total, nil
}

// holds reports whether the clock on the wall shows a time within the window. An
// hour that comes twice, as clocks are set back, is in it both times; one that
// is left out cannot be.
func (s span) holds(t time.Time) bool {
	local := t.In(s.zone)
	now := local.Hour()*60 + local.Minute()
	today := s.days[local.Weekday()]
	yesterday := s.days[(local.Weekday()+6)%7]
	if s.to > s.from {
		return today && s.from <= now && now < s.to
	}
	return today && s.from <= now || yesterday && now < s.to
}

// within is when none of the windows holds any more: to the minute, as far as a
// week and a day ahead.
func within(spans []span, now time.Time) (until time.Time, ends bool) {
	at := now.Truncate(time.Minute)
	for range 8 * 24 * 60 {
		if at = at.Add(time.Minute); !slices.ContainsFunc(spans, func(s span) bool { return s.holds(at) }) {
			return at, true
		}
	}
	return time.Time{}, false
}
