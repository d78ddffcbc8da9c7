package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
)

// runTests rehearses the tests of a config. The error is Faults, one for each that
// failed: the config must not come into force then.
func runTests(ctx context.Context, cfg *config.Config) error {
	if len(cfg.Tests) == 0 {
		return nil
	}
	r, err := newRehearsal(cfg)
	if err != nil {
		return err
	}
	var faults config.Faults
	for i := range cfg.Tests {
		t := &cfg.Tests[i]
		got := r.play(ctx, testScene(cfg, t))
		if wrong := r.mismatches(&t.Expect, &got); len(wrong) > 0 {
			name := t.Name
			if name == "" {
				name = "it"
			}
			f := cfg.Fault(fmt.Sprintf("tests[%d].expect", i), fmt.Sprintf("%s: %s", name, strings.Join(wrong, "; ")))
			f.Hint = r.because(&got)
			faults = append(faults, f)
		}
	}
	if faults == nil {
		return nil
	}
	return faults
}

// testScene is the request of a test.
func testScene(cfg *config.Config, t *config.Test) scene {
	var s scene
	s.Method, s.URL, s.Address, s.Time = t.Request.Fill(cfg)
	s.Header = http.Header{}
	for name, value := range t.Request.Headers {
		s.Header.Set(name, value)
	}
	if id := t.Identity; id != nil {
		s.Who = testLogin(cfg, id, s.Time)
	}
	return s
}

func testLogin(cfg *config.Config, id *config.TestIdentity, now time.Time) *auth.Login {
	login := &auth.Login{
		Identity: auth.Identity{Provider: id.Provider, Subject: id.User, User: id.User, PreferredUsername: id.User, Name: id.Name,
			Email: id.Email, EmailVerified: id.Email != "" && (id.EmailVerified == nil || *id.EmailVerified), Groups: id.Groups},
		ACR: id.ACR, AMR: id.AMR, AuthTime: now,
	}
	if login.Identity.Provider == "" {
		login.Identity.Provider = cfg.ProviderNames()[0]
	}
	if login.AMR == nil && login.Identity.Provider == "local" {
		login.AMR = []string{"pwd"} // there is no other way
	}
	if id.AuthAge != nil {
		login.AuthTime = now.Add(-*id.AuthAge)
	}
	if id.Claims != nil {
		login.Identity.Claims = map[string]any{}
		for name, v := range id.Claims {
			login.Identity.Claims[name] = v.Get()
		}
	}
	return login
}

// mismatches says what is another than expected.
func (r *rehearsal) mismatches(want *config.Expectation, got *outcome) (wrong []string) {
	route, rule, path := "none", "none", "none"
	if got.Decision.Route != nil {
		route = got.Decision.Route.String()
	}
	if got.Decision.Rule != nil {
		rule = got.Decision.Rule.At
	}
	if got.Up != nil {
		path = got.Decision.Up.Path
	}
	for _, c := range []struct{ what, want, got string }{
		{"decision", want.Decision, got.Decision.Outcome}, {"route", want.Route, route}, {"rule", want.Rule, rule},
		{"observed", want.Observed, got.Decision.Observed}, {"path", want.Path, path},
	} {
		if c.want != "" && c.want != c.got {
			wrong = append(wrong, fmt.Sprintf("want %s %s, got %s", c.what, c.want, c.got))
		}
	}
	// Neither is a rule's doing, and either is soon mistyped.
	if wrong == nil && want.Status == 0 && (got.Status == http.StatusMisdirectedRequest || got.Status == http.StatusNotImplemented) {
		return []string{fmt.Sprintf("the gateway answers %d: %s; if that is meant, expect status: %d", got.Status, got.Decision.Err, got.Status)}
	}
	if want.Status != 0 && want.Status != got.Status {
		answer := fmt.Sprint(got.Status)
		if got.Status == 0 {
			answer = "the app's answer"
		}
		wrong = append(wrong, fmt.Sprintf("want status %d, got %s", want.Status, answer))
	}
	return wrong
}

// because says in short what the decision came of.
func (r *rehearsal) because(got *outcome) string {
	d := &got.Decision
	switch {
	case d.Rule != nil:
		return fmt.Sprintf("by %s, line %d", d.Rule.At, line(r.cfg, d.Rule.At))
	case d.Err != nil:
		return d.Err.Error()
	case d.Route != nil:
		return fmt.Sprintf("by the route on line %d", line(r.cfg, fmt.Sprintf("routes[%d]", d.Route.Index())))
	}
	return ""
}
