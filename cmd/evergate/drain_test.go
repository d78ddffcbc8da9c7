//go:build unix

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSignals: the first signal lets a request under way finish and takes no
// new ones, the second one ends at once.
func TestSignals(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	arrived := make(chan struct{}, 4)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, "app")
	}))
	defer upstream.Close()
	type answer struct {
		body string
		err  error
	}
	slow := func(p *process, b *browser) chan answer {
		got := make(chan answer, 1)
		go func() {
			res, err := b.client.Get(p.base + "/slow")
			if err != nil {
				got <- answer{"", err}
				return
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			got <- answer{string(body), err}
		}()
		<-arrived
		return got
	}
	signal := func(p *process) {
		t.Helper()
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	goingDown := func(p *process) {
		t.Helper()
		p.within("that it takes no requests after the signal", func() bool {
			res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(p.base + "/.evergate/ping")
			if err == nil {
				res.Body.Close()
			}
			return err != nil
		})
	}

	t.Run("one", func(t *testing.T) {
		p := newProcess(t, upstream.URL)
		p.start()
		b := newBrowser(t)
		signInAgain(t, p, b)
		got := slow(p, b)
		signal(p)
		goingDown(p)
		close(release)
		if a := <-got; a.err != nil || a.body != "app" {
			t.Errorf("the request under way: got %q, %v, want its answer", a.body, a.err)
		}
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("it ended with %v, want exit code 0\n%s", err, &p.out)
		}
		if !strings.Contains(p.out.String(), "going down") {
			t.Errorf("the log does not say that it goes down:\n%s", &p.out)
		}
	})
	release = make(chan struct{})
	defer close(release)
	t.Run("two", func(t *testing.T) {
		p := newProcess(t, upstream.URL)
		p.start()
		b := newBrowser(t)
		signInAgain(t, p, b)
		got := slow(p, b)
		signal(p)
		goingDown(p)
		start := time.Now()
		signal(p)
		_ = p.cmd.Wait()
		// After a first one it ends well, 30 s later, while the request is under way still.
		if took := time.Since(start); took > 15*time.Second || p.cmd.ProcessState.ExitCode() != exitFailed {
			t.Errorf("it ended %v after the second signal with %v, want at once and exit code %d", took, p.cmd.ProcessState, exitFailed)
		}
		<-got
	})
}
