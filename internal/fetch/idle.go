package fetch

import (
	"slices"
	"time"
)

// sweepEvery is how often the connections that nobody uses are looked at: whether they have
// been kept for long enough, and whether the server has closed them.
const sweepEvery = 5 * time.Second

// take returns the connection that was used last of those that were not kept for too long, or
// nil. Whether the server has closed it meanwhile shows when it is used.
func (l *Line) take() *conn {
	for {
		l.mu.Lock()
		last := len(l.idle) - 1
		if last < 0 {
			l.mu.Unlock()
			return nil
		}
		c := l.idle[last]
		l.idle[last] = nil
		l.idle = l.idle[:last]
		l.mu.Unlock()
		if !l.isOld(c, time.Now()) {
			return c
		}
		c.hangUp()
	}
}

func (l *Line) isOld(c *conn, now time.Time) bool { return now.Sub(c.since) >= l.idleTimeout() }

func (l *Line) idleTimeout() time.Duration {
	if l.IdleTimeout == 0 {
		return 90 * time.Second
	}
	return l.IdleTimeout
}

// keep takes back c, whose answer was read to its end.
func (l *Line) keep(c *conn) {
	c.since = time.Now()
	l.mu.Lock()
	kept := c.era == l.era && len(l.idle) < l.MaxIdle
	if kept {
		l.idle = append(l.idle, c)
		if l.sweeper == nil {
			l.sweeper = time.AfterFunc(min(sweepEvery, l.idleTimeout()), l.sweep)
		}
	}
	l.mu.Unlock()
	if !kept {
		c.hangUp()
	}
}

// sweep closes what was idle for too long or that the server has closed. It comes again for
// as long as there is something left to look at.
func (l *Line) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sweeper == nil { // CloseIdle was faster
		return
	}
	now := time.Now()
	l.idle = slices.DeleteFunc(l.idle, func(c *conn) bool {
		over := l.isOld(c, now) || !c.turn.isOpen()
		if over {
			c.hangUp()
		}
		return over
	})
	if len(l.idle) == 0 {
		l.idle, l.sweeper = nil, nil
		return
	}
	l.sweeper.Reset(min(sweepEvery, l.idleTimeout()))
}

// CloseIdle closes what nobody uses, and each other connection once its request is done.
// Requests after it have connections of their own.
func (l *Line) CloseIdle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.era++
	if l.sweeper != nil {
		l.sweeper.Stop()
		l.sweeper = nil
	}
	for _, c := range l.idle {
		c.hangUp()
	}
	l.idle = nil
}
