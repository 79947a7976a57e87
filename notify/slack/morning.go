package slack

import (
	"time"

	"github.com/tocsin/tocsin/config"
)

// morning is when people want to be woken again.
type morning struct {
	hour, minute int
	zone         *time.Location
}

func newMorning(at, zone string) (morning, error) {
	t, err := time.Parse(clock, at)
	if err != nil {
		return morning{}, config.Bad("morning", "%v", err)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return morning{}, config.Bad("time_zone", "%v", err)
	}
	return morning{hour: t.Hour(), minute: t.Minute(), zone: loc}, nil
}

// after returns the first morning after now.
func (m morning) after(now time.Time) time.Time {
	y, month, d := now.In(m.zone).Date()
	for {
		t := time.Date(y, month, d, m.hour, m.minute, 0, 0, m.zone)
		if t.After(now) {
			return t
		}
		d++
	}
}

// clock writes a moment as people here read it: "08:00 CET".
func (m morning) clock(t time.Time) string { return t.In(m.zone).Format(clock + " MST") }
