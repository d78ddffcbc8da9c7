package proxy

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// HasForms reports whether any route signs in by a form, so that sessions have
// something to keep.
func (rt *Router) HasForms() bool { return len(rt.forms) > 0 }

// SessionEnded signs people out at the apps that they were signed in to by a form. Kept
// is what the session kept, by name. It returns once that is done, or given up: the app
// ends its session by itself sooner or later.
func (rt *Router) SessionEnded(ctx context.Context, log *slog.Logger, kept map[string][]byte) {
	ctx, cancel := context.WithTimeout(ctx, formTime)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	for _, r := range rt.forms {
		if r.Form.logout == nil || r.Upstream == nil {
			continue
		}
		for _, t := range r.Upstream.targets {
			j := openJar(kept[r.Form.names+t.name])
			if j.Made == "" {
				continue
			}
			all.Go(func() {
				if err := r.Form.signOut(ctx, r, t, &j); err != nil {
					log.WarnContext(ctx, "an app could not be told that a session is over; it ends there by itself",
						"event", "upstream.sign_out_failed", "route", r.label, "upstream", t.name, "err", err)
				}
			})
		}
	}
}

// signOut opens the app's own sign-out with the cookies of the jar.
func (f *Form) signOut(ctx context.Context, r *Route, t *target, j *jar) error {
	u := &url.URL{Scheme: t.url.Scheme, Host: t.url.Host, Path: f.logout.Path, RawPath: f.logout.RawPath, RawQuery: f.logout.RawQuery}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	c := &carriage{route: r, target: &Target{}, up: &Target{}, host: j.Host, scheme: j.Scheme}
	req.Host = r.Upstream.hostFor(c, t)
	req.Header["X-Forwarded-Host"], req.Header["X-Forwarded-Proto"] = []string{j.Host}, []string{j.Scheme}
	if cookies := j.header(u.EscapedPath(), time.Now(), nil); cookies != nil {
		req.Header["Cookie"] = cookies
	}
	if prefix := r.Rewrite.StripPrefix; prefix != "" {
		req.Header["X-Forwarded-Prefix"] = []string{prefix}
	}
	res, err := t.lines.Load().plain.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	if res.StatusCode >= http.StatusBadRequest {
		return &formError{"it answered " + res.Status}
	}
	return nil
}
