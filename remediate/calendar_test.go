package remediate_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/remediate"
)

// calendarAt is what the calendar says at a time.
func calendarAt(t *testing.T, at time.Time, windows ...remediate.Window) remediate.Verdict {
	t.Helper()
	p := hostPolicy()
	p.Guards.Calendar = windows
	return verdictOf(t, remediate.World{}, "calendar", remediate.Candidate{Policy: p, Step: p.Steps[0], Now: at})
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	require.NoError(t, err)
	return z
}

func TestCalendar(t *testing.T) {
	berlin, seoul, york := zone(t, "Europe/Berlin"), zone(t, "Asia/Seoul"), zone(t, "America/New_York")
	market := remediate.Window{Days: []string{"mon", "tue", "wed", "thu", "fri"}, From: "09:00", To: "10:00", Zone: "Asia/Seoul"}
	backup := remediate.Window{Days: []string{"fri"}, From: "22:00", To: "06:00", Zone: "Europe/Berlin"}
	night := remediate.Window{From: "02:00", To: "03:00", Zone: "Europe/Berlin"}
	always := remediate.Window{From: "00:00", To: "24:00", Zone: "UTC"}
	sunday := remediate.Window{Days: []string{"sun"}, From: "00:00", To: "00:00", Zone: "America/New_York"}
	for name, tc := range map[string]struct {
		window remediate.Window
		at     time.Time
		want   remediate.Outcome
		until  time.Time
	}{
		"before":                    {market, time.Date(2026, 6, 3, 8, 59, 59, 0, seoul), remediate.Pass, time.Time{}},
		"as it begins":              {market, time.Date(2026, 6, 3, 9, 0, 0, 0, seoul), remediate.Wait, time.Date(2026, 6, 3, 10, 0, 0, 0, seoul)},
		"as it ends":                {market, time.Date(2026, 6, 3, 10, 0, 0, 0, seoul), remediate.Pass, time.Time{}},
		"its last second":           {market, time.Date(2026, 6, 3, 9, 59, 59, 0, seoul), remediate.Wait, time.Date(2026, 6, 3, 10, 0, 0, 0, seoul)},
		"the same in UTC":           {market, time.Date(2026, 6, 3, 0, 30, 0, 0, time.UTC), remediate.Wait, time.Date(2026, 6, 3, 1, 0, 0, 0, time.UTC)},
		"on a Saturday":             {market, time.Date(2026, 6, 6, 9, 30, 0, 0, seoul), remediate.Pass, time.Time{}},
		"over midnight, before it":  {backup, time.Date(2026, 6, 5, 23, 0, 0, 0, berlin), remediate.Wait, time.Date(2026, 6, 6, 6, 0, 0, 0, berlin)},
		"over midnight, after it":   {backup, time.Date(2026, 6, 6, 5, 59, 0, 0, berlin), remediate.Wait, time.Date(2026, 6, 6, 6, 0, 0, 0, berlin)},
		"over midnight, over":       {backup, time.Date(2026, 6, 6, 6, 0, 0, 0, berlin), remediate.Pass, time.Time{}},
		"Friday morning is none":    {backup, time.Date(2026, 6, 5, 5, 0, 0, 0, berlin), remediate.Pass, time.Time{}},
		"Saturday night is none":    {backup, time.Date(2026, 6, 6, 23, 0, 0, 0, berlin), remediate.Pass, time.Time{}},
		"a whole day":               {sunday, time.Date(2026, 6, 7, 0, 0, 0, 0, york), remediate.Wait, time.Date(2026, 6, 8, 0, 0, 0, 0, york)},
		"the day before":            {sunday, time.Date(2026, 6, 6, 23, 59, 0, 0, york), remediate.Pass, time.Time{}},
		"always":                    {always, noon(), remediate.Deny, time.Time{}},
		"clocks set back, first":    {night, time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), remediate.Wait, time.Date(2026, 10, 25, 2, 0, 0, 0, time.UTC)},
		"clocks set back, again":    {night, time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC), remediate.Wait, time.Date(2026, 10, 25, 2, 0, 0, 0, time.UTC)},
		"clocks set back, over":     {night, time.Date(2026, 10, 25, 2, 0, 0, 0, time.UTC), remediate.Pass, time.Time{}},
		"clocks set forth, before":  {night, time.Date(2026, 3, 29, 0, 59, 59, 0, time.UTC), remediate.Pass, time.Time{}},
		"clocks set forth, past it": {night, time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), remediate.Pass, time.Time{}},
		"over it, clocks set forth": {remediate.Window{From: "01:30", To: "04:00", Zone: "Europe/Berlin"}, time.Date(2026, 3, 29, 1, 15, 0, 0, time.UTC), remediate.Wait, time.Date(2026, 3, 29, 2, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			v := calendarAt(t, tc.at, tc.window)
			require.Equal(t, tc.want, v.Outcome, v.Reason)
			require.True(t, tc.until.Equal(v.Until), "until %s, want %s", v.Until, tc.until)
		})
	}
}

func TestWindowsThatFollowEachOtherAreOneWait(t *testing.T) {
	a := remediate.Window{From: "12:00", To: "13:00", Zone: "UTC"}
	b := remediate.Window{From: "12:30", To: "15:00", Zone: "UTC"}
	v := calendarAt(t, noon(), a, b)
	require.Equal(t, remediate.Wait, v.Outcome)
	require.Equal(t, noon().Add(3*time.Hour), v.Until)
}

func TestAWindowThatCannotBeReadIsBlind(t *testing.T) {
	good := remediate.Window{From: "20:00", To: "21:00", Zone: "UTC"}
	require.Equal(t, remediate.Pass, calendarAt(t, noon(), good).Outcome)
	for _, bad := range []remediate.Window{
		{From: "9:00", To: "10:00", Zone: "UTC"},
		{From: "09:00", To: "24:01", Zone: "UTC"},
		{From: "24:00", To: "10:00", Zone: "UTC"},
		{From: "09:60", To: "10:00", Zone: "UTC"},
		{From: "-9:00", To: "10:00", Zone: "UTC"},
		{From: "09:00", To: "10:00"},
		{From: "09:00", To: "10:00", Zone: "Local"},
		{From: "09:00", To: "10:00", Zone: "Atlantis"},
		{From: "09:00", To: "10:00", Zone: "../../etc/passwd"},
		{From: "09:00", To: "10:00", Zone: "UTC", Days: []string{"monday"}},
		{From: "", To: "", Zone: "UTC"},
	} {
		require.Equal(t, remediate.Blind, calendarAt(t, noon(), good, bad).Outcome, "%+v", bad)
	}
}

// The end that is named is the first minute at which nothing holds, and until
// then everything waits: in every zone, over every change of clocks.
func TestCalendarEndsWhenItSays(t *testing.T) {
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Africa/Casablanca", "UTC"}
	days := []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
	r := rand.New(rand.NewPCG(1, 6))
	waits := 0
	for range 400 {
		w := remediate.Window{
			From: fmt.Sprintf("%02d:%02d", r.IntN(24), r.IntN(60)), To: fmt.Sprintf("%02d:%02d", r.IntN(24), r.IntN(60)),
			Zone: zones[r.IntN(len(zones))], Days: []string{days[r.IntN(7)], days[r.IntN(7)], days[r.IntN(7)]},
		}
		// around a change of clocks as often as not
		at := time.Date(2026, []time.Month{3, 4, 10, 11}[r.IntN(4)], 1+r.IntN(30), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)
		v := calendarAt(t, at, w)
		local := at.In(zone(t, w.Zone))
		require.Equal(t, inWindow(w, local), v.Outcome != remediate.Pass, "%+v at %s", w, local)
		if v.Outcome != remediate.Wait {
			continue
		}
		waits++
		require.True(t, v.Until.After(at))
		require.False(t, inWindow(w, v.Until.In(zone(t, w.Zone))), "%+v at %s until %s", w, local, v.Until)
		require.True(t, inWindow(w, v.Until.Add(-time.Minute).In(zone(t, w.Zone))), "%+v at %s until %s", w, local, v.Until)
	}
	require.Greater(t, waits, 40)
}

// inWindow reads the clock on the wall as text, which sorts as time does.
func inWindow(w remediate.Window, local time.Time) bool {
	clock := local.Format("15:04")
	has := func(day time.Weekday) bool {
		for _, d := range w.Days {
			if d == strings.ToLower(day.String()[:3]) {
				return true
			}
		}
		return false
	}
	today, yesterday := has(local.Weekday()), has((local.Weekday()+6)%7)
	if w.From < w.To {
		return today && w.From <= clock && clock < w.To
	}
	return today && clock >= w.From || yesterday && clock < w.To
}
