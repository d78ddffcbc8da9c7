package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// downTime is for how long reads fail at once after one that got no answer: who
// can be served from memory need not wait for a server that is away.
const downTime = 500 * time.Millisecond

// awayTime is for how long a server must have given no answer, where the timeout is
// the default one, to count as having been away. One that is merely slow loses nothing,
// and a shorter pause outlasts no lease.
const awayTime = 5 * time.Second

var errDown = errors.New("it did not answer a moment ago")

// begin returns the client for one operation, and what ends it. An operation that has
// begun is brought to an end where its caller goes away: half of it may be done, and
// reads are shared, so that one who hangs up would fail the others who wait.
func (s *Store) begin(ctx context.Context) (rueidis.Client, context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, nil, err
	}
	c := s.client.Load()
	if c == nil {
		return nil, nil, nil, s.outage("connect", errors.New("it has not answered yet"))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opt.Timeout)
	return *c, ctx, cancel, nil
}

// did takes the outcome of an operation: it notices where the server was out of reach, and makes an outage of every error. An error reply of
// a script counts too: a server that is loading, read-only or out of memory.
func (s *Store) did(ctx context.Context, what string, err error) error {
	if err != nil && !rueidis.IsRedisNil(err) {
		s.lost.Store(true)
		if _, reply := rueidis.IsRedisErr(err); reply {
			s.breaks() // it is loading, or no master any more
		} else {
			s.down.Store(time.Now().Add(downTime).UnixNano())
		}
		return s.outage(what, err)
	}
	now := time.Now()
	before := s.answered.Swap(now.UnixNano())
	lost, broke := s.lost.Swap(false), s.broke.Swap(false)
	if broke || lost && now.Sub(time.Unix(0, before)) > awayTime*s.opt.Timeout/defaultTimeout {
		s.epoch.Add(1)
	}
	if broke || lost {
		s.down.Store(0)
		s.watches.NotifyAll()
	}
	return nil
}

// isDown reports whether the server did not answer a moment ago. Of those who ask
// once the moment is over, one finds out anew.
func (s *Store) isDown() bool {
	until := s.down.Load()
	if until == 0 {
		return false
	}
	now := time.Now()
	if now.UnixNano() < until {
		return true
	}
	return !s.down.CompareAndSwap(until, now.Add(s.opt.Timeout).UnixNano())
}

// outage says what was attempted, and what to look at.
func (s *Store) outage(what string, err error) error {
	hint := ""
	switch text := err.Error(); {
	case strings.HasPrefix(text, "WRONGPASS"), strings.HasPrefix(text, "NOAUTH"):
		hint = "; look at session.redis.username and password_file"
	case strings.HasPrefix(text, "NOPERM"), strings.Contains(text, "EXEC was aborted"):
		hint = "; an ACL user needs +@read +@write +@scripting +@transaction +@connection +@fast +info, and the keys of session.redis.key_prefix"
	case errors.Is(err, context.DeadlineExceeded):
		hint = fmt.Sprintf("; it gave no answer within %s", s.opt.Timeout)
	}
	return fmt.Errorf("redis: %s at %s: %w%s", what, s.where(), err, hint)
}

// dial connects, and has lost connections noticed.
func (s *Store) dial(ctx context.Context, address string, d *net.Dialer, cfg *tls.Config) (net.Conn, error) {
	var conn net.Conn
	var err error
	if cfg != nil {
		td := tls.Dialer{NetDialer: d, Config: cfg}
		conn, err = td.DialContext(ctx, "tcp", address)
	} else {
		conn, err = d.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	return &watchedConn{Conn: conn, broke: s.breaks}, nil
}

// breaks notes that what answers next may be another server, or one that has lost
// something. The epoch changes here, before any answer of that one can be there, and
// once more with the first of them: from then on it is counted how long it is back.
func (s *Store) breaks() {
	s.epoch.Add(1)
	s.broke.Store(true)
}

// watchedConn tells when it breaks.
type watchedConn struct {
	net.Conn
	broke func()
}

func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.broke()
	}
	return n, err
}
