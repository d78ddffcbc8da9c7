package bolt

import "time"

// clock is wall time at the start, and counted from there: setting the wall
// clock while the gateway runs moves no session's end.
type clock struct{ started, base time.Time }

// maxAhead is how far behind its own last time a wall clock is believed to
// have been set back. Beyond, the last time was the wrong one.
const maxAhead = 24 * time.Hour

// startClock starts at the wall clock, or at last, the time of the last write,
// if that is later: the store's time does not run backwards over a restart.
func startClock(last time.Time) clock {
	now := time.Now()
	c := clock{started: now, base: now.Round(0)}
	if last.After(now) && last.Sub(now) < maxAhead {
		c.base = last
	}
	return c
}

func (c clock) now() time.Time { return c.base.Add(time.Since(c.started)) }
