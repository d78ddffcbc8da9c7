package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/evergate/evergate/internal/web"
)

const ejectFor = 30 * time.Second

// TargetState is how a target is, for the operator.
type TargetState struct {
	// Target is its address.
	Target string
	// Err says why it is out of order; nil means it is not.
	Err error
	// Requests is how many are under way there, or -1 where nobody counts them: a target
	// that is the only one and has no limit.
	Requests int
	// Failed is how many requests failed in a row, and Last what the last of them met.
	Failed int
	Last   error
}

// States tells how the targets are, as far as health checks and requests have
// shown.
func (u *Upstream) States() []TargetState {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := make([]TargetState, len(u.targets))
	for i, t := range u.targets {
		all[i].Target, all[i].Requests = t.name, t.busy
		if u.direct {
			all[i].Requests = -1
		}
		fails := t.fails.Load()
		if cause := t.cause.Load(); fails > 0 && cause != nil {
			all[i].Failed, all[i].Last = int(fails), *cause
		}
		switch {
		case t.sick != nil:
			all[i].Err = fmt.Errorf("its health checks fail: %w", t.sick)
		case time.Now().Before(t.ejected):
			all[i].Err = fmt.Errorf("it gets no requests until %s, for it failed too often: %w", t.ejected.Format(time.TimeOnly), *t.cause.Load())
		case u.options.EjectAfter > 0 && int(fails) >= u.options.EjectAfter:
			all[i].Err = fmt.Errorf("the last %d requests failed: %w", fails, *t.cause.Load())
		}
	}
	return all
}

// judge notes what became of a request at t. What the client did, or the end of
// its session, is not the target's failure.
func (u *Upstream) judge(ctx context.Context, t *target, c *carriage, try *attempt, res *http.Response, err error) {
	_, ours := errors.AsType[*web.Error](err) // what the gateway itself has to say
	switch {
	case ours:
		return
	case err != nil:
		if ctx.Err() != nil || c.bodyErr.Load() != nil || !try.isTargets() {
			return
		}
	case res.StatusCode >= http.StatusBadGateway && res.StatusCode <= http.StatusGatewayTimeout:
		err = errors.New("it answered " + res.Status)
	default:
		if t.fails.Load() != 0 {
			t.fails.Store(0)
		}
		return
	}
	u.failed(t, err)
}

// failed notes a failure of t.
func (u *Upstream) failed(t *target, cause error) {
	t.cause.Store(&cause)
	fails := int(t.fails.Add(1))
	if u.options.EjectAfter > 0 && fails >= u.options.EjectAfter && len(u.targets) > 1 {
		u.eject(t, fails, cause)
	}
}

// eject takes t out for a while. Whoever has just come back is out again at the
// next failure, for its row of failures ends with an answer alone.
func (u *Upstream) eject(t *target, fails int, cause error) {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if now.Before(t.ejected) {
		return
	}
	t.ejected = now.Add(orDefault(u.options.EjectFor, ejectFor))
	u.log.Warn("a target fails and gets no requests for a while", "upstream", t.name, "failures", fails,
		"for", orDefault(u.options.EjectFor, ejectFor), "err", cause)
	u.admit()
}

// inOrder reports whether t is to be used. A target whose time is over comes
// back when it is next asked for. The mutex is held.
func (u *Upstream) inOrder(t *target, now time.Time) bool {
	if !t.ejected.IsZero() && !now.Before(t.ejected) {
		u.comeBack(t, t.ejected)
		t.ejected = time.Time{}
		u.log.Info("a target gets requests again, to see whether it has recovered", "upstream", t.name)
	}
	return t.sick == nil && t.ejected.IsZero()
}

// comeBack lets the share of t grow from little. The mutex is held.
func (u *Upstream) comeBack(t *target, since time.Time) {
	if t.slow > 0 {
		t.back = since
	}
}

// noteAllOut keeps the log when the last target goes and the first comes back.
// A target that fails may still serve some; none serves nobody. The mutex is held.
func (u *Upstream) noteAllOut(all bool) {
	if all == u.allOut {
		return
	}
	if u.allOut = all; all {
		u.log.Error("every target of an upstream is out of order, so all of them are used", "upstream", u.String())
	} else {
		u.log.Info("an upstream has a target in order again", "upstream", u.String())
	}
}
