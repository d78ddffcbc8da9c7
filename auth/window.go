package auth

import "time"

// Window is a time of day, on some days of the week.
type Window struct {
	// Days are those on which it begins, by time.Weekday.
	Days [7]bool
	// From and To are times since midnight on the clocks of Zone; the end does not belong
	// to it. A To that is not later than From is one of the next day.
	From, To time.Duration
	// Zone is whose clocks; nil is UTC.
	Zone *time.Location
}

func (w *Window) contains(t time.Time) bool {
	zone := w.Zone
	if zone == nil {
		zone = time.UTC
	}
	t = t.In(zone)
	// What a clock shows counts, not how long ago midnight was: twice a year that differs.
	clock := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second
	today := t.Weekday()
	if w.To > w.From {
		return w.Days[today] && clock >= w.From && clock < w.To
	}
	yesterday := (today + 6) % 7
	return w.Days[today] && clock >= w.From || w.Days[yesterday] && clock < w.To
}
