package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/secret"
)

// TestRedactionByType: what a value is decides what of it is logged, whoever logs it under
// whatever name.
func TestRedactionByType(t *testing.T) {
	var out bytes.Buffer
	log, control := newLog(&out, config.Log{Format: "json"})
	defer control.Close()
	at, err := url.Parse("https://user:hunter2@login.example.com/cb?code=hunter2&state=x#hunter2")
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: "GET", Host: "apps.example.com", URL: at, Header: http.Header{"Cookie": {"a=hunter2"}}}
	failed := &url.Error{Op: "Get", URL: at.String(), Err: fmt.Errorf("refused")}
	log.Info("x", "url", at, "flat", *at, "request", r, "header", r.Header, "cookie", &http.Cookie{Name: "a", Value: "hunter2"},
		"cookies", []*http.Cookie{{Value: "hunter2"}}, "form", url.Values{"password": {"hunter2"}}, "err", fmt.Errorf("ask: %w", failed),
		"secret", secret.New("hunter2"), slog.Group("in", "url", at, "err", failed))
	got := out.String()
	if strings.Contains(got, "hunter2") {
		t.Errorf("a secret is in the log: %s", got)
	}
	for _, want := range []string{`"url":"https://login.example.com/cb"`, `"request":"GET apps.example.com/cb"`, `"err":"ask: Get \"https://login.example.com/cb\": refused"`} {
		if !strings.Contains(got, want) {
			t.Errorf("want %s in %s", want, got)
		}
	}
}

// TestRedactionOfPersons: what the operator does not want is not in a line, and lines can be
// told to be of one person all the same. It can change while the gateway runs.
func TestRedactionOfPersons(t *testing.T) {
	var out bytes.Buffer
	log, control := newLog(&out, config.Log{Format: "json"})
	defer control.Close()
	line := func() string {
		out.Reset()
		log.Info("request", "client", "192.0.2.77", "subject", "alice", "path", "/of/alice", "status", 200)
		return out.String()
	}
	if got := line(); !strings.Contains(got, `"client":"192.0.2.77","subject":"alice","path":"/of/alice"`) {
		t.Errorf("by default: got %s", got)
	}
	control.Apply(config.Log{Redact: []string{"client", "subject", "path"}})
	got := line()
	if strings.Contains(got, "alice") || strings.Contains(got, ".77") || strings.Contains(got, `"path"`) ||
		!strings.Contains(got, `"client":"192.0.2.0/24"`) || !strings.Contains(got, `"subject":"#`) || !strings.Contains(got, `"status":200`) {
		t.Errorf("got %s", got)
	}
	digest := func(s string) string { _, rest, _ := strings.Cut(s, `"subject":"`); return rest[:13] }
	if digest(got) != digest(line()) {
		t.Error("one person has two digests")
	}
	for address, want := range map[string]string{"2001:db8:1:2::7": "2001:db8:1::/48", "::ffff:192.0.2.77": "192.0.2.0/24", "": "", "fe80::1%eth0": "fe80::/48", "no address": ""} {
		at, _ := netip.ParseAddr(address)
		if got := networkOf(at); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}

// TestRedactionOfEvents: what is kept out of lines is kept out of those of events too.
func TestRedactionOfEvents(t *testing.T) {
	var out bytes.Buffer
	log, control := newLog(&out, config.Log{Format: "json", Redact: []string{"subject"}})
	defer control.Close()
	failed := &url.Error{Op: "Get", URL: "https://idp.example.com/keys?code=se6ret", Err: errors.New("no route to host")}
	for _, actor := range []string{"alice", "token"} {
		event.Tell(t.Context(), log, nil, slog.LevelInfo, "sessions ended", event.Event{Name: event.AdminRevoked, Actor: actor, User: "alice", Err: failed})
	}
	said := out.String()
	if strings.Contains(said, "alice") || strings.Contains(said, "se6ret") {
		t.Errorf("got what was to be kept out: %s", said)
	}
	if !strings.Contains(said, `"actor":"#`) || !strings.Contains(said, `"actor":"token"`) || !strings.Contains(said, "no route to host") {
		t.Errorf("got too little: %s", said)
	}
}
