package accesslog_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/evergate/evergate/internal/accesslog"
	"github.com/evergate/evergate/internal/web"
)

// BenchmarkLine is what a line costs the request: by slog, which writes it, and by the queue,
// which is emptied now and then with the clock stopped, as the writer does beside requests.
func BenchmarkLine(b *testing.B) {
	keep := func(_ []string, a slog.Attr) slog.Attr { return a } // the redaction of records is on always
	for _, to := range []string{"device", "file"} {
		open := func(b *testing.B) *os.File {
			path := os.DevNull
			if to == "file" {
				path = filepath.Join(b.TempDir(), "log")
			}
			f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = f.Close() })
			return f
		}
		b.Run("slog/"+to, func(b *testing.B) {
			log := web.AccessBySlog(slog.New(slog.NewJSONHandler(open(b), &slog.HandlerOptions{ReplaceAttr: keep})))
			l := usual()
			b.ReportAllocs()
			for b.Loop() {
				log.Access(&l)
			}
		})
		for _, text := range []bool{false, true} {
			name := "json"
			if text {
				name = "text"
			}
			b.Run(name+"/"+to, func(b *testing.B) {
				log := accesslog.New(open(b), accesslog.Options{Replace: keep, Text: text})
				flush := slog.New(log.Handler())
				l, n := usual(), 0
				b.ReportAllocs()
				for b.Loop() {
					log.Access(&l)
					if n++; n%1000 == 0 {
						b.StopTimer()
						flush.Info("")
						b.StartTimer()
					}
				}
				if err := log.Close(); err != nil || log.Lost() > 0 {
					b.Fatalf("%v, and %d lines are lost", err, log.Lost())
				}
			})
		}
	}
}
