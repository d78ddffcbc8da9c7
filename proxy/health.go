package proxy

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// HealthOptions say how targets are asked how they are.
type HealthOptions struct {
	// Path is asked for by GET, behind the path of the target. 200 to 399 is well.
	Path string
	// Interval is between two checks of one target. Zero means 10 s.
	Interval time.Duration
	// Timeout bounds one check. Zero means 2 s.
	Timeout time.Duration
	// UnhealthyAfter is how many checks in a row must fail for a target to go.
	// Zero means 3.
	UnhealthyAfter int
	// HealthyAfter is how many must succeed for it to come back. Zero means 2.
	HealthyAfter int
}

// watchHealth checks t until ctx ends. A target is in order until its checks say
// otherwise. Checks have connections of their own: they show whether one can be
// had, and never wait for requests.
func (u *Upstream) watchHealth(ctx context.Context, t *target) {
	o := u.options.Health
	transport := newTransport(&u.options, t)
	transport.DisableKeepAlives = true
	transport.MaxConnsPerHost = 0
	defer transport.CloseIdleConnections()
	good, bad := 0, 0
	for {
		err := u.checkHealth(ctx, transport, t)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if good, bad = good+1, 0; good >= orCount(o.HealthyAfter, 2) {
				u.setHealth(t, nil)
			}
		default:
			if good, bad = 0, bad+1; bad >= orCount(o.UnhealthyAfter, 3) {
				u.setHealth(t, err)
			}
		}
		interval := orDefault(o.Interval, 10*time.Second)
		pause := time.NewTimer(interval - interval/20 + rand.N(interval/10+1)) // gateways do not all ask at once
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// checkHealth asks t once. The request says who asks and for nobody.
func (u *Upstream) checkHealth(ctx context.Context, transport http.RoundTripper, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, orDefault(u.options.Health.Timeout, 2*time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url.String()+t.base+u.options.Health.Path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "evergate-health-check")
	if u.host != "" {
		req.Host = u.host
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return t.explain(err)
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	if res.StatusCode < 200 || res.StatusCode > 399 {
		return fmt.Errorf("%s answered %s, want 200 to 399", u.options.Health.Path, res.Status)
	}
	return nil
}

// setHealth notes what the checks of t say; nil is well.
func (u *Upstream) setHealth(t *target, sick error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	was := t.sick
	t.sick = sick
	defer u.admit() // before mu is free
	switch {
	case was == nil && sick != nil:
		u.log.Warn("a target fails its health checks", "upstream", t.name, "err", sick)
	case was != nil && sick == nil:
		t.fails.Store(0)
		u.comeBack(t, time.Now())
		u.log.Info("a target passes its health checks again", "upstream", t.name)
	}
}

func orCount(n, or int) int {
	if n > 0 {
		return n
	}
	return or
}
