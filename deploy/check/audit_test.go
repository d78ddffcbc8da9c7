package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lines are those of an audit log, and each is one.
func lines(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil || l["time"] == nil || l["event"] == nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, l)
	}
	return all
}

// auditing is a gateway with its audit log where config says.
type auditing struct {
	*process
	dir, at string
}

// newAuditing starts one in dir, its standard output in a file there, and has alice mistype
// her password.
func newAuditing(t *testing.T, dir, config string) *auditing {
	t.Helper()
	a := &auditing{dir: dir, at: loopback()}
	text := fmt.Sprintf("public_url: http://localhost:8000\nlisten: %[1]s:8000\ndata_dir: data\nadmin: { listen: \"%[1]s:9180\" }\n"+
		"identity: [{ local: { users_file: users.yaml } }]\nroutes: [{ upstream: \"http://127.0.0.1:9\" }]\naudit: %[2]s\n", a.at, config)
	for name, text := range map[string]string{"evergate.yaml": text, "users.yaml": users(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/bin/sh", "-c", `exec "$0" serve --config evergate.yaml >stdout`, filepath.Join(built(t), "usr/bin/evergate"))
	cmd.Dir = dir
	a.process = start(t, cmd)
	a.within(t, "the gateway is there", func() error { return dial(a.at + ":8000") })
	a.mistypes(t)
	return a
}

func (a *auditing) mistypes(t *testing.T) {
	t.Helper()
	alice := newPerson(t, "", map[string]string{"8000": a.at + ":8000"})
	alice.submit(alice.get("http://localhost:8000/"), map[string]string{"username": "alice", "password": "is wrong"})
}

// told waits until a file tells of so many passwords that were wrong.
func (a *auditing) told(t *testing.T, file string, want int) (text string) {
	t.Helper()
	a.within(t, "the audit log has it", func() error {
		b, err := os.ReadFile(file)
		if text = string(b); err == nil && strings.Count(text, `"event":"login.failed","user":"alice"`) != want {
			err = fmt.Errorf("got %q, want %d", text, want)
		}
		return err
	})
	return text
}

// TestAuditAtRsyslog: with the lines of docs/audit.md rsyslog takes what the gateway sends to
// its socket, and writes it as it is.
func TestAuditAtRsyslog(t *testing.T) {
	rsyslogd := need(t, "rsyslogd", "rsyslog")
	blocks := fenced(read(t, "docs/audit.md"), "rsyslog")
	if len(blocks) != 1 {
		t.Fatalf("got %d configurations of rsyslog", len(blocks))
	}
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "log"), filepath.Join(dir, "evergate.jsonl")
	text := blocks[0]
	for old, new := range map[string]string{
		`module(load="imuxsock")`: fmt.Sprintf("module(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\" Socket=%q CreatePath=\"on\")", socket),
		"/var/log/evergate.jsonl": file,
	} {
		if strings.Count(text, old) != 1 {
			t.Fatalf("the configuration has not one %s", old)
		}
		text = strings.Replace(text, old, new, 1)
	}
	if err := os.WriteFile(filepath.Join(dir, "rsyslog.conf"), []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := start(t, exec.Command(rsyslogd, "-n", "-f", filepath.Join(dir, "rsyslog.conf"), "-i", filepath.Join(dir, "pid")))
	daemon.within(t, "its socket is there", func() error { _, err := os.Stat(socket); return err })
	to := url.URL{Scheme: "unix", Path: socket}
	gateway := newAuditing(t, dir, fmt.Sprintf("{ syslog: { address: %q, facility: authpriv } }", to.String()))
	got := lines(t, gateway.told(t, file, 1))
	if last := got[len(got)-1]; last["reason"] != "credentials" || last["client"] != "127.0.0.1" {
		t.Errorf("got %v, want alice's wrong password", last)
	}
}

// TestAuditOnStdout: as in containers, there is nothing else, and the log is elsewhere.
func TestAuditOnStdout(t *testing.T) {
	dir := t.TempDir()
	gateway := newAuditing(t, dir, "{ stdout: true }")
	audit := gateway.told(t, filepath.Join(dir, "stdout"), 1)
	lines(t, audit)
	var log string
	gateway.within(t, "the log has the requests", func() error { // within a moment
		if log = gateway.said.String(); !strings.Contains(log, `"msg":"request"`) {
			return errors.New("it has none")
		}
		return nil
	})
	if !strings.Contains(log, `"msg":"request"`) || strings.Contains(log, `"event":"login.failed","user"`) {
		t.Errorf("on standard error there is %s, want the access lines alone", log)
	}
	// Collected together, they can be told apart.
	query := regexp.MustCompile(`jq -cR '([^']+)'`).FindStringSubmatch(read(t, "docs/audit.md"))
	if query == nil {
		t.Fatal("the guide does not say how")
	}
	cmd := exec.Command(need(t, "jq", "jq"), "-cR", query[1])
	cmd.Stdin = strings.NewReader(log + audit + log)
	if out, err := output(cmd); err != nil || out != audit {
		t.Errorf("got %s (%v), want %s", out, err, audit)
	}
}

// TestAuditRotates: with the configuration of docs/audit.md logrotate moves the file away, the
// gateway makes it anew, and no line is in neither.
func TestAuditRotates(t *testing.T) {
	logrotate := need(t, "logrotate", "logrotate")
	blocks := fenced(read(t, "docs/audit.md"), "logrotate")
	if len(blocks) != 1 {
		t.Fatalf("got %d configurations of logrotate", len(blocks))
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.jsonl")
	const there = "/var/log/evergate/audit.jsonl"
	if !strings.Contains(blocks[0], there) {
		t.Fatalf("it is not about %s", there)
	}
	conf := filepath.Join(dir, "logrotate.conf")
	if err := os.WriteFile(conf, []byte(strings.Replace(blocks[0], there, file, 1)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway := newAuditing(t, dir, fmt.Sprintf("{ file: %q }", file))
	gateway.told(t, file, 1)
	if _, err := output(exec.Command(logrotate, "--force", "--state", filepath.Join(dir, "state"), conf)); err != nil {
		t.Fatal(err)
	}
	moved, err := filepath.Glob(file + "-*")
	if err != nil || len(moved) != 1 {
		t.Fatalf("got %v, %v, want the file of before under another name", moved, err)
	}
	time.Sleep(time.Second) // for as long it may write to the old one
	gateway.mistypes(t)
	lines(t, gateway.told(t, file, 1))
	lines(t, gateway.told(t, moved[0], 1))
}

// TestAuditGuide: what docs/audit.md shows are lines that there can be, and its queries say of
// them what they are for.
func TestAuditGuide(t *testing.T) {
	page := read(t, "docs/audit.md")
	samples := fenced(page, "json")
	if len(samples) != 1 {
		t.Fatalf("got %d samples", len(samples))
	}
	reference := read(t, "docs/reference/audit.md")
	for _, l := range lines(t, samples[0]+"\n") {
		if !strings.Contains(reference, fmt.Sprintf("| `%s` |", l["event"])) {
			t.Errorf("the reference has no event %v", l["event"])
		}
		for field := range l {
			if !strings.Contains(reference, fmt.Sprintf("| `%s` |", field)) {
				t.Errorf("the reference has no field %q", field)
			}
		}
	}
	jq := need(t, "jq", "jq")
	want := []string{
		"2026-11-27T09:14:02.310Z\t192.0.2.7\tMozilla/5.0 (X11; Linux x86_64)",
		"2\t198.51.100.23\tbob",
		"2026-11-27T13:00:00.000Z\tbob\t198.51.100.23",
		`"session.reuse_detected"`,
		"9TGq1BTmPSBb\talice\t192.0.2.7 203.0.113.99",
		"2026-11-27T12:30:00.541Z\tfile\troutes[0].allow",
		"2026-11-27T13:00:01.000Z\t7",
	}
	in := samples[0] + "\n" + `{"time":"2026-11-27T13:00:00.000Z","event":"session.started","user":"bob","session":"x","client":"198.51.100.23"}` + "\n" +
		`{"time":"2026-11-27T13:00:01.000Z","event":"audit.lost","count":7}` + "\n"
	queries := fenced(page, "jq")
	if len(queries) != len(want) {
		t.Fatalf("got %d queries, want %d", len(queries), len(want))
	}
	for i, q := range queries {
		args := []string{"-rc", q}
		if regexp.MustCompile(`\binputs\b`).MatchString(q) {
			args[0] = "-rnc"
		}
		cmd := exec.Command(jq, args...)
		cmd.Stdin = bytes.NewReader([]byte(in))
		if out, err := output(cmd); err != nil || !strings.Contains(out, want[i]) || strings.Count(out, "\n") > 2 {
			t.Errorf("%s\ngot %s (%v), want %s", q, out, err, want[i])
		}
	}
}
