package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/goreleaser/nfpm/v2"
)

// TestDeb installs the deb on a machine with systemd, as docs/install.md says, uses what
// it set up, and goes through an upgrade, a removal and a purge.
func TestDeb(t *testing.T) {
	need(t, "dpkg", "dpkg")
	m := newMachine(t)
	m.put(filepath.Join(folder(t, made), "evergate_1.2.3-1_amd64.deb"), "/tmp/evergate_1.2.3-1_amd64.deb")
	m.put(filepath.Join(folder(t, madeNext), "evergate_1.2.4-1_amd64.deb"), "/tmp/next.deb")
	if had := m.written("*evergate*"); had != "" {
		t.Fatalf("there was already:\n%s", had)
	}
	before := m.accounts()
	m.app("127.0.0.1:3000")

	out := m.follow("Debian and Ubuntu")
	for _, want := range []string{"was not started", "is sound: 1 route, 0 warnings"} {
		if !strings.Contains(out, want) {
			t.Errorf("the installation did not say %q:\n%s", want, out)
		}
	}
	m.wantFiles()
	m.wantUnits()
	m.run("dpkg --verify evergate") // prints what differs from the package
	client := m.signIn()
	m.wantUse(client, "after the installation")

	t.Run("an upgrade keeps the config and the sessions, and runs the next version", func(t *testing.T) {
		m.run(`echo "# mine" >>/etc/evergate/evergate.yaml`)
		first := m.mainPID()
		m.run("dpkg -i /tmp/next.deb")
		if got := read(t, m.file("/etc/evergate/evergate.yaml")); !strings.HasSuffix(got, "# mine\n") {
			t.Errorf("the config is another one now:\n%s", got)
		}
		m.wantFiles()
		if m.mainPID() == first {
			t.Error("the gateway was not started anew")
		}
		m.wantVersion(nextVersion)
		m.wantUse(client, "after the upgrade")
	})
	t.Run("a config that the new version refuses leaves the old one running", func(t *testing.T) {
		m.run(`echo "nonsense: 1" >>/etc/evergate/evergate.yaml`)
		first := m.mainPID()
		out := m.run("dpkg -i /tmp/next.deb")
		if !strings.Contains(out, "does not take the config") || m.mainPID() != first {
			t.Errorf("got %q, and process %s after %s", out, m.mainPID(), first)
		}
		m.wantUse(client, "with a bad config")
		m.run("sed -i /nonsense/d /etc/evergate/evergate.yaml")
	})
	t.Run("removing leaves what is people's", func(t *testing.T) {
		m.run("dpkg -r evergate")
		if out, err := m.try("systemctl is-active evergate"); err == nil {
			t.Errorf("the gateway still runs: %s", out)
		}
		for _, path := range []string{"/etc/evergate/evergate.yaml", "/etc/evergate/evergate.key", "/etc/evergate/users.yaml", "/var/lib/evergate/sessions.db"} {
			if !m.exists(path) {
				t.Errorf("%s is gone", path)
			}
		}
		if m.exists("/usr/bin/evergate") {
			t.Error("the program is still there")
		}
	})
	t.Run("coming back finds it", func(t *testing.T) {
		m.run("dpkg -i /tmp/next.deb && systemctl start evergate")
		m.wantUse(client, "after it came back")
	})
	t.Run("a purge leaves nothing", func(t *testing.T) {
		m.run("dpkg -P evergate")
		if left := m.written("*evergate*"); left != "" {
			t.Errorf("there is left:\n%s", left)
		}
		for _, path := range []string{"/etc/evergate", "/var/lib/evergate", "/var/log/evergate", "/usr/share/doc/evergate"} {
			if m.exists(path) {
				t.Errorf("%s is still there", path)
			}
		}
		if after := m.accounts(); after != before {
			t.Errorf("got other accounts than before:\n%s\nbefore:\n%s", after, before)
		}
	})
}

// TestRPM does the same with rpm, whose own program says first that the package is whole.
func TestRPM(t *testing.T) {
	need(t, "rpm", "rpm")
	m := newMachine(t)
	m.put(filepath.Join(folder(t, made), "evergate-1.2.3-1.x86_64.rpm"), "/tmp/evergate-1.2.3-1.x86_64.rpm")
	m.put(filepath.Join(folder(t, madeNext), "evergate-1.2.4-1.x86_64.rpm"), "/tmp/next.rpm")
	m.app("127.0.0.1:3000")
	m.run("rpm --checksig /tmp/evergate-1.2.3-1.x86_64.rpm")
	for what, want := range map[string]string{
		"--queryformat '%{NAME} %{VERSION} %{ARCH} %{LICENSE} %{BUILDHOST}'": "evergate 1.2.3 x86_64 Apache-2.0 localhost",
		"--configfiles": "/etc/evergate/evergate.yaml",
		"--requires":    "shadow-utils",
	} {
		if got := m.run("rpm -qp " + what + " /tmp/evergate-1.2.3-1.x86_64.rpm"); !strings.Contains(got, want) {
			t.Errorf("rpm -qp %s: got %q, want %q", what, got, want)
		}
	}

	// Debian has no package of rpm's to depend on, and asks whether one is sure.
	m.run(`mv /usr/bin/rpm /usr/bin/rpm.real && printf '#!/bin/sh\nexec /usr/bin/rpm.real --nodeps --force-debian "$@"\n' >/usr/bin/rpm && chmod 755 /usr/bin/rpm`)
	m.follow("Fedora and RHEL")
	m.wantFiles()
	m.wantUnits()
	client := m.signIn()
	m.wantUse(client, "after the installation")
	// The key and the users are not the package's, and everything else is as it came.
	m.run("rpm.real --verify --nodeps evergate")

	m.run(`echo "# mine" >>/etc/evergate/evergate.yaml`)
	m.run("rpm -U /tmp/next.rpm")
	if got := read(t, m.file("/etc/evergate/evergate.yaml")); !strings.HasSuffix(got, "# mine\n") {
		t.Errorf("the config is another one now:\n%s", got)
	}
	m.wantFiles()
	m.wantVersion(nextVersion)
	m.wantUse(client, "after the upgrade")

	m.run("rpm -e evergate")
	if out, err := m.try("systemctl is-active evergate"); err == nil {
		t.Errorf("the gateway still runs: %s", out)
	}
	for path, want := range map[string]bool{
		"/usr/bin/evergate": false, "/usr/lib/systemd/system/evergate.service": false, "/etc/evergate/evergate.yaml.rpmsave": true,
		"/etc/evergate/evergate.key": true, "/etc/evergate/users.yaml": true, "/var/lib/evergate/sessions.db": true,
	} {
		if got := m.exists(path); got != want {
			t.Errorf("%s: got %v after the removal, want %v", path, got, want)
		}
	}
}

// TestVersionsOfPackages: package managers take a candidate for older than its release.
func TestVersionsOfPackages(t *testing.T) {
	need(t, "dpkg", "dpkg")
	need(t, "rpm", "rpm")
	names := map[string][2]string{
		kindDeb: {"evergate_1.3.0~rc.1-1_amd64.deb", "evergate_1.3.0-1_amd64.deb"},
		kindRPM: {"evergate-1.3.0~rc.1-1.x86_64.rpm", "evergate-1.3.0-1.x86_64.rpm"},
	}
	for kind, want := range names {
		packager, err := nfpm.Get(kind)
		if err != nil {
			t.Fatal(err)
		}
		for i, version := range []string{"1.3.0-rc.1", "1.3.0"} {
			w := &work{options: options{version: version}}
			if got := packager.ConventionalFileName(nfpm.WithDefaults(w.info(binary{target: allTargets[0]}, kind, "", nil))); got != want[i] {
				t.Errorf("%s of %s: got %s, want %s", kind, version, got, want[i])
			}
		}
	}
	if out, err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", "1.3.0~rc.1-1", "lt", "1.3.0-1").CombinedOutput(); err != nil {
		t.Errorf("dpkg takes the release for the older one: %v %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "rpm", "--eval", `%{lua:print(rpm.vercmp("1.3.0~rc.1", "1.3.0"))}`).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "-1" {
		t.Errorf("rpm: got %q and %v, want the candidate to be the older one", out, err)
	}
}

// accounts are the users and groups of the machine.
func (m *machine) accounts() string { return m.run("sort /etc/passwd /etc/group") }

// written are the files of a name that are on the machine and not on this one.
func (m *machine) written(name string) string {
	m.t.Helper()
	out, err := exec.CommandContext(m.t.Context(), "nsenter", "--target", m.pid, "--mount", "find", m.upper, "-name", name).CombinedOutput()
	if err != nil {
		m.t.Fatalf("look at what was written: %v\n%s", err, out)
	}
	return string(out)
}

// mainPID is the process that systemd takes for the gateway.
func (m *machine) mainPID() string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl show --property MainPID --value evergate"))
}

// wantFiles looks at who may read what.
func (m *machine) wantFiles() {
	m.t.Helper()
	ids := strings.Fields(m.run("id -u evergate; id -g evergate"))
	for path, want := range map[string]string{
		"/usr/bin/evergate":                                  "-rwxr-xr-x root root",
		"/etc/evergate":                                      "drwxr-x--- root evergate",
		"/etc/evergate/evergate.yaml":                        "-rw-r----- root evergate",
		"/etc/evergate/evergate.key":                         "-rw------- evergate evergate",
		"/etc/evergate/users.yaml":                           "-rw------- evergate evergate",
		"/var/lib/evergate":                                  "drwx------ evergate evergate",
		"/usr/lib/systemd/system/evergate.service":           "-rw-r--r-- root root",
		"/usr/lib/systemd/system/evergate.socket":            "-rw-r--r-- root root",
		"/usr/lib/systemd/system/evergate-redirect.socket":   "-rw-r--r-- root root",
		"/usr/share/doc/evergate/copyright":                  "-rw-r--r-- root root",
		"/usr/share/bash-completion/completions/evergate":    "-rw-r--r-- root root",
		"/usr/share/fish/vendor_completions.d/evergate.fish": "-rw-r--r-- root root",
	} {
		fi, err := os.Lstat(m.file(path))
		if err != nil {
			m.t.Error(err)
			continue
		}
		st := fi.Sys().(*syscall.Stat_t)
		got := fi.Mode().String()
		for i, id := range []uint32{st.Uid, st.Gid} {
			switch fmt.Sprint(id) {
			case "0":
				got += " root"
			case ids[i]:
				got += " evergate"
			default:
				got += fmt.Sprintf(" %d", id)
			}
		}
		if got != want {
			m.t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	if out := m.run("evergate check /etc/evergate/evergate.yaml 2>&1"); !strings.Contains(out, "0 warnings") {
		m.t.Errorf("evergate check: got %s", out)
	}
}

// wantUnits has systemd look at the units where they were installed, and at what it said
// of them when it ran them.
func (m *machine) wantUnits() {
	m.t.Helper()
	units := m.run("ls /usr/lib/systemd/system/evergate*")
	for _, unit := range strings.Fields(units) {
		if text := read(m.t, m.file(unit)); strings.Contains(text, "/usr/local") {
			m.t.Errorf("%s: it is about a program that was not installed:\n%s", unit, text)
		}
	}
	if out := m.run("systemd-analyze verify " + strings.ReplaceAll(units, "\n", " ") + " 2>&1"); strings.TrimSpace(out) != "" {
		m.t.Errorf("systemd-analyze verify: got\n%s", out)
	}
	m.run("runuser -u evergate -- evergate doctor --config /etc/evergate/evergate.yaml") // fails where something is wrong
	m.run("systemctl reload evergate")
	if out := m.run("journalctl --no-pager --quiet --priority=warning"); strings.TrimSpace(out) != "" {
		m.t.Errorf("the journal has warnings:\n%s", out)
	}
}

// signIn is a browser that the user of the documentation has signed in with.
func (m *machine) signIn() *http.Client {
	m.t.Helper()
	client := m.browser()
	res, err := client.PostForm("http://localhost:8080/.evergate/login", url.Values{"username": {"alice"}, "password": {testPassword}, "rd": {"/"}})
	if err != nil {
		m.t.Fatal(err)
	}
	res.Body.Close()
	return client
}

// wantUse sees the app as alice.
func (m *machine) wantUse(client *http.Client, when string) {
	m.t.Helper()
	res, err := client.Get("http://localhost:8080/")
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", when, err, m.run("systemctl status --no-pager evergate || true"))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "user alice" {
		m.t.Errorf("%s: got %d %.300q and %v, want the app for alice", when, res.StatusCode, body, err)
	}
}

// wantVersion looks at what runs, and not at what is installed.
func (m *machine) wantVersion(want string) {
	m.t.Helper()
	out := m.run("/proc/" + m.mainPID() + "/exe version")
	if !regexp.MustCompile(`^evergate ` + regexp.QuoteMeta(want) + ` \(commit [0-9a-f]{12} of 20\d\d-.*Z, go1\.`).MatchString(out) {
		m.t.Errorf("got %q, want version %s with its commit", out, want)
	}
}
