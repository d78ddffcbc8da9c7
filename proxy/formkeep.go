package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// load is the jar that the session keeps, and its version: see auth.Session.Kept.
func (v *visit) load(ctx context.Context, atLeast uint64) (jar, uint64, error) {
	b, version, err := v.c.login.Session.Kept(ctx, v.name, atLeast)
	if err != nil {
		return jar{}, 0, notKept(err)
	}
	return openJar(b), version, nil
}

// keepTries bounds how often a change is tried anew: somebody else's got in each time.
const keepTries = 10

// save keeps the jar. The error is auth.ErrChanged, or one to answer.
func (v *visit) save(ctx context.Context, j *jar, version uint64) error {
	b, err := json.Marshal(j)
	if err == nil {
		err = v.c.login.Session.Keep(ctx, v.name, b, version)
	}
	if err != nil && !errors.Is(err, auth.ErrChanged) {
		return notKept(err)
	}
	return err
}

func notKept(err error) *web.Error {
	return &web.Error{Status: http.StatusServiceUnavailable, Code: "unavailable", Title: "Not available for the moment", RetryAfter: 5 * time.Second,
		Detail: "Your sign-in at the app behind this address cannot be looked up or kept for now. Try again in a moment.", Err: err}
}

// reader reads the cookies of an answer to a request for path.
func (v *visit) reader(path string) *setting {
	return &setting{now: time.Now(), path: path, real: v.known, own: v.ownDomain, full: func(name string) {
		if !v.f.told.Swap(true) {
			v.c.log.Warn("the app sets more cookies than are kept; this is said once", "request_id", v.c.note.ID, "route", v.c.route.label,
				"cookie", name)
		}
	}}
}

// divide takes out of an answer what the jar is to have, and returns it. What is the
// browser's stays, and what would set a cookie of the gateway is left for scrub.
func (v *visit) divide(h http.Header) (jars []string) {
	var browsers []string
	for _, line := range h["Set-Cookie"] {
		pair, _, _ := strings.Cut(line, ";")
		if name := cookieName(pair); slices.Contains(v.f.BrowserCookies, name) || v.c.own(name) {
			browsers = append(browsers, line)
		} else {
			jars = append(jars, line)
		}
	}
	if delete(h, "Set-Cookie"); browsers != nil {
		h["Set-Cookie"] = browsers
	}
	return jars
}

// learn takes the cookies of an answer into the jar, if that is still the one that the
// request went with: a late answer says nothing about a later sign-in.
func (v *visit) learn(ctx context.Context, res *http.Response, held jar) {
	lines := v.divide(res.Header)
	if len(lines) == 0 || held.Made == "" {
		return
	}
	reader := v.reader(v.path)
	if _, changed := held.with(lines, reader); !changed {
		return
	}
	v.change(ctx, held, func(j jar) (jar, bool) { return j.with(lines, reader) })
}

// forget empties the jar, if it is still that one.
func (v *visit) forget(ctx context.Context, held jar) {
	if held.Made != "" {
		v.change(ctx, held, func(jar) (jar, bool) { return jar{}, true })
	}
}

// change keeps what becomes of the jar held.
func (v *visit) change(ctx context.Context, held jar, change func(jar) (jar, bool)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), formTime)
	defer cancel()
	var err error
	for range keepTries {
		var now jar
		var version uint64
		if now, version, err = v.load(ctx, auth.Newest); err != nil {
			break
		}
		if now.Made != held.Made {
			return
		}
		next, changed := change(now)
		if !changed {
			return
		}
		if err = v.save(ctx, &next, version); !errors.Is(err, auth.ErrChanged) {
			break
		}
	}
	if err != nil {
		v.c.log.Warn("the cookies of an app could not be kept", "request_id", v.c.note.ID, "route", v.c.route.label, "err", err)
	}
}
