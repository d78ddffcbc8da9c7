//go:build unix

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/audit"
	"github.com/evergate/evergate/session"
)

// auditLine is a line as a program reads it.
type auditLine map[string]any

// audited reads the audit log.
func audited(t *testing.T, path string) (lines []auditLine, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]bool{}
	for _, f := range audit.Fields {
		fields[f.Name] = true
	}
	for line := range strings.Lines(string(b)) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var l auditLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for name := range l {
			if !fields[name] {
				t.Errorf("the field %q is not in the reference: %s", name, line)
			}
		}
		lines = append(lines, l)
	}
	return lines, string(b)
}

// TestAudit: what people and operators do is told in one file, with stable names, and with
// nothing in it that opens anything.
func TestAudit(t *testing.T) {
	w := newWatched(t)
	path := filepath.Join(filepath.Dir(w.file), "audit.jsonl")
	w.edit("routes:\n", "audit: { file: audit.jsonl }\nroutes:\n") // it is taken at a reload
	wait(t, func() bool { _, err := os.Stat(path); return err == nil })
	b := newBrowser(t)
	for _, try := range []url.Values{
		{"username": {"alice"}, "password": {"wrong horse"}},
		{"username": {"my-password-in-the-wrong-field"}, "password": {"alice"}},
	} {
		if code, err := b.post(w.base, "/.evergate/login", try); err != nil || code != 401 {
			t.Fatalf("a wrong password: got %d %v", code, err)
		}
	}
	alice, bob := w.signIn("alice"), w.signIn("bob")
	w.get(alice, "/wiki/")
	w.get(bob, "/wiki/")
	if n, err := w.client.Revoke(t.Context(), session.Which{User: "bob"}); err != nil || n != 1 {
		t.Fatalf("revoke: %d %v", n, err)
	}
	if code, err := alice.post(w.base, "/.evergate/logout", nil); err != nil || code != 200 {
		t.Fatalf("sign out: got %d %v", code, err)
	}
	w.edit("routes:\n", "pages: [\nroutes:\n")

	type key struct{ event, user, reason string }
	wanted := []key{
		{"config.reloaded", "", "file"},
		{"login.failed", "alice", "credentials"}, {"login.failed", "", "credentials"},
		{"session.started", "alice", ""}, {"session.started", "bob", ""},
		{"session.revoked", "bob", "by_operator"}, {"session.ended", "alice", "signed_out"}, {"config.bad", "", "file"},
	}
	var lines []auditLine
	var text string
	got := map[key]auditLine{}
	wait(t, func() bool {
		lines, text = audited(t, path)
		for _, l := range lines {
			str := func(name string) string { s, _ := l[name].(string); return s }
			got[key{str("event"), str("user"), str("reason")}] = l
		}
		for _, k := range wanted {
			if got[k] == nil {
				return false
			}
		}
		return true
	})
	if l := got[wanted[0]]; !strings.Contains(strings.Join(strs(l["changed"]), " "), "audit.file") {
		t.Errorf("the reload: got %v, want the keys that changed", l)
	}
	for _, k := range wanted[1:5] {
		l := got[k]
		if client, _ := l["client"].(string); !strings.HasPrefix(client, "192.0.2.") || l["provider"] != "local" || l["host"] == nil || l["user_agent"] == nil || !strings.Contains(w.out.String(), l["request_id"].(string)) {
			t.Errorf("%v: got %v, want who asked, by what, and the request's id as in the log", k, l)
		}
	}
	if strings.Contains(text, "wrong-field") || strings.Contains(text, "wrong horse") || strings.Contains(text, testPassword) {
		t.Errorf("a password is in the audit log:\n%s", text)
	}
	w.discreet("the audit log", text)
}

func strs(v any) (all []string) {
	list, _ := v.([]any)
	for _, s := range list {
		all = append(all, s.(string))
	}
	return all
}

func wait(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about within a minute")
		}
	}
}

// TestMetricsOfAGateway: what one does shows, by the names of its config, and nothing that a
// client chose is a label.
func TestMetricsOfAGateway(t *testing.T) {
	w := newWatched(t)
	alice := w.signIn("alice")
	w.get(alice, "/wiki/")
	w.get(alice, "/vault/")
	w.get(alice, "/wiki/hostile-path?hostile=query", "User-Agent", "hostile-agent")
	res, err := http.Get(w.client.base + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	for _, want := range []string{
		`evergate_requests_total{code="200",decision="allowed",route="wiki"} 2`,
		`evergate_logins_total{outcome="signed_in",provider="local"} 1`,
		`evergate_part_up{kind="store",name="store"} 1`, "evergate_sessions_in_use 1", "evergate_audit_up 1", "evergate_draining 0",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("want %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "hostile") {
		t.Errorf("what a client sent is in a metric:\n%s", text)
	}
	w.discreet("/metrics", text)
}
