//go:build unix

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReloadOnceWhatWasMissingIsThere: a config was refused for a file that only it names.
// When that file is mended the config is taken, and until then it is refused once.
func TestReloadOnceWhatWasMissingIsThere(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(echo))
	defer app.Close()
	const (
		logo = `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>`
		page = "<!doctype html>\n<p>{{.Title}} {{.Data.User}} {{.Data.Still}} {{.RequestID}} <a href=\"{{.Data.LoginURL}}\">in</a>"
	)
	for _, row := range []struct{ name, key, file, bad, good string }{
		{"a file that comes later", "logo_file: new.svg", "new.svg", "", logo},
		{"a page with a mistake", "templates: mine", "mine/signedout.html", "{{.Nothing", page},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newProcess(t, app.URL)
			p.start()
			defer p.kill()
			_, _ = p.admin("/livez") // learns the address
			file := filepath.Join(filepath.Dir(p.file), row.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			write := func(text string) {
				t.Helper()
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if row.bad != "" {
				write(row.bad)
			}
			p.edit("routes:", "pages: { "+row.key+" }\nroutes:")
			p.within("the word that it is bad", func() bool {
				_, ready := p.admin("/readyz")
				return strings.Contains(ready, filepath.Base(file)) && strings.Contains(ready, `"config":{"ok":false`)
			})
			time.Sleep(4 * time.Second) // that it is followed from now on is no change
			if _, m := p.admin("/metrics"); !strings.Contains(m, `evergate_config_reloads_total{outcome="rejected"} 1`+"\n") {
				t.Errorf("it was refused more than once:\n%s", p.out.String())
			}
			write(row.good)
			p.within("the word that it is good", func() bool {
				_, ready := p.admin("/readyz")
				return strings.Contains(ready, `"config":{"ok":true}`)
			})
		})
	}
}
