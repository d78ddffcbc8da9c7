//go:build unix

package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write has the config file hold text.
func (p *process) write(text string) {
	p.Helper()
	if err := os.WriteFile(p.file, []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

// TestPutBackAfterReload: a config that somebody had read and put back before the next look at
// the file is not in force for good, nor is one that could not be used told of for good.
func TestPutBackAfterReload(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(echo))
	defer app.Close()
	p := newProcess(t, app.URL)
	p.edit("routes:\n", "routes:\n  - { name: admin, match: { path: /admin/ }, respond: { body: ADMIN } }\n")
	b, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	guarded := string(b)
	opened := strings.Replace(guarded, "name: admin,", "name: admin, public: true,", 1)
	p.start()
	defer p.kill()
	isOpen := func() bool {
		t.Helper()
		res, err := http.Get(p.base + "/admin/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK && res.Header.Get("Content-Type") == "text/plain; charset=utf-8"
	}
	time.Sleep(3500 * time.Millisecond) // the first two looks, which find all as it was
	if isOpen() {
		t.Fatal("/admin/ is open before anything was changed")
	}

	p.write(opened)
	var out bytes.Buffer
	if code := run([]string{"reload", "--config", p.file}, nil, &out, &out); code != exitOK {
		t.Fatalf("evergate reload: got exit code %d, want %d\n%s", code, exitOK, out.String())
	}
	wasOpen := isOpen()
	p.write(guarded)
	if !wasOpen {
		t.Fatal("the config that opens /admin/ did not come into force")
	}
	p.within("the guarded config is in force again", func() bool { return !isOpen() })

	ready := func() string {
		t.Helper()
		_, body := p.admin("/readyz")
		return body
	}
	p.admin("/readyz") // which learns where that is while the file can be read
	p.write("nonsense: true\n" + guarded)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.within("/readyz says what is wrong", func() bool { return strings.Contains(ready(), "nonsense") })
	p.write(guarded)
	p.within("/readyz says that the config is good", func() bool { return strings.Contains(ready(), `"config":{"ok":true`) })
}
