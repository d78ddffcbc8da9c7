package accesslog_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/accesslog"
	"github.com/evergate/evergate/internal/web"
)

// redaction and replace keep out the same, the one of access lines and the other of records.
var redaction = accesslog.Redaction{
	Client: func(a netip.Addr) string {
		if !a.IsValid() {
			return ""
		}
		return "of " + a.Unmap().WithZone("").String()
	},
	Subject: func(s string) string { return "#" + strings.ToUpper(s) },
	Path:    true,
}

func replace(hide bool) func([]string, slog.Attr) slog.Attr {
	return func(_ []string, a slog.Attr) slog.Attr {
		switch {
		case !hide:
		case a.Key == "client":
			at, _ := netip.ParseAddr(a.Value.String())
			return slog.String("client", redaction.Client(at))
		case a.Key == "subject":
			return slog.String("subject", redaction.Subject(a.Value.String()))
		case a.Key == "path":
			return slog.Attr{}
		}
		return a
	}
}

// sameAsSlog writes l both ways, in both formats, with and without redaction.
func sameAsSlog(t *testing.T, l web.Line) {
	t.Helper()
	for _, text := range []bool{false, true} {
		for _, hide := range []bool{false, true} {
			var want, got bytes.Buffer
			hidden := accesslog.Redaction{}
			if hide {
				hidden = redaction
			}
			opts := &slog.HandlerOptions{ReplaceAttr: replace(hide)}
			var slogs slog.Handler = slog.NewJSONHandler(&want, opts)
			if text {
				slogs = slog.NewTextHandler(&want, opts)
			}
			web.AccessBySlog(slog.New(slogs)).Access(&l)
			ours := accesslog.New(&got, accesslog.Options{Text: text, Redaction: func() *accesslog.Redaction { return &hidden }})
			ours.Access(&l)
			if err := ours.Close(); err != nil {
				t.Fatal(err)
			}
			if got.String() != want.String() || want.Len() == 0 {
				t.Errorf("text %v, redaction %v:\ngot  %swant %s", text, hide, &got, &want)
			}
		}
	}
}

// usual is a line as most are.
func usual() web.Line {
	return web.Line{
		At: time.Date(2026, 11, 27, 9, 14, 2, 310_045_600, time.FixedZone("", 3600)), RequestID: "D4KXQ2M6ZC5V7A3T5W2J6H4R7E",
		Client: netip.MustParseAddr("192.0.2.7"), Method: "GET", Host: "wiki.example.com", Path: "/a%20b/c", Route: "wiki", Subject: "248289761001",
		Session: "9TGq1BTmPSBb", Decision: "allowed", Upstream: "http://127.0.0.1:9000", Status: 200, Bytes: 1024, Took: 1503 * time.Microsecond, Waited: 1200 * time.Microsecond,
	}
}

// TestLineIsThatOfSlog: an access line has the bytes that slog would give it.
func TestLineIsThatOfSlog(t *testing.T) {
	change := func(how func(*web.Line)) web.Line {
		l := usual()
		how(&l)
		return l
	}
	all := []web.Line{
		usual(),
		{At: time.Unix(1, 0)},
		change(func(l *web.Line) {
			l.Level, l.Status, l.Err = slog.LevelWarn, 502, errors.New("dial tcp: \"refused\"\n")
		}),
		change(func(l *web.Line) { l.Level = slog.LevelError + 3 }),
		change(func(l *web.Line) { l.TraceID, l.Observed, l.Waited = "4bf92f3577b34da6a3ce929d0e0e4736", "denied", 0 }),
		change(func(l *web.Line) { l.At = time.Unix(1000, 0).UTC() }),
		change(func(l *web.Line) { l.At = time.Unix(1000, 999_999_999) }),
		change(func(l *web.Line) { l.Status, l.Bytes, l.Waited = -1, -5, -time.Second }),
	}
	for _, client := range []string{"2001:db8::7", "::ffff:192.0.2.7", "fe80::1%eth0", "fe80::1%\"\n=\xff"} {
		all = append(all, change(func(l *web.Line) { l.Client = netip.MustParseAddr(client) }))
	}
	for _, took := range []time.Duration{0, 1, time.Microsecond, 10 * time.Microsecond, 99900 * time.Nanosecond, 100 * time.Millisecond, 1010 * time.Microsecond, 999_999_999 * time.Microsecond,
		1000 * time.Second, 1234567 * time.Millisecond, 300 * 24 * time.Hour, 1<<63 - 1, -time.Microsecond, -time.Hour, -1 << 63} {
		all = append(all, change(func(l *web.Line) { l.Took, l.Waited = took, took }))
	}
	for _, nasty := range []string{" ", "=", `"`, `\`, "\x00\x1f\x7f", "\t\r\n", "<script>&'", "é ü 漢", "\u2028\u2029\u00a0\ufffd\u200b", "\xff\xfe\xed\xa0\x80", "a=b", "\U0001F600", strings.Repeat("é\"", 5000)} {
		all = append(all, change(func(l *web.Line) {
			l.RequestID, l.Method, l.Host, l.Path, l.TraceID, l.Route, l.Subject = nasty, nasty, nasty, nasty, nasty, nasty, nasty
			l.Session, l.Decision, l.Observed, l.Upstream, l.Err = nasty, nasty, nasty, nasty, errors.New(nasty)
		}))
	}
	for _, l := range all {
		sameAsSlog(t, l)
	}
}

func FuzzLineIsThatOfSlog(f *testing.F) {
	f.Add("GET", "wiki.example.com", "/a%20b", "alice", "dial tcp: \"refused\"", "192.0.2.7", int64(1503), int64(7), int64(1795770842310045600), int64(1024), 200)
	f.Add("\xff", "\u2028", "\\=\"", "", "", "fe80::1%\x00", int64(-1), int64(1e15), int64(0), int64(-1), 0)
	f.Fuzz(func(t *testing.T, method, host, path, who, failed, client string, took, waited, at, n int64, status int) {
		l := web.Line{
			At: time.Unix(0, at), RequestID: host + method, Method: method, Host: host, Path: path, Route: path, Subject: who, Session: who + host, Decision: method,
			Observed: failed, Upstream: client, TraceID: who, Status: status, Bytes: n, Took: time.Duration(took), Waited: time.Duration(waited),
		}
		l.Client, _ = netip.ParseAddr(client)
		if failed != "" {
			l.Err, l.Level = errors.New(failed), slog.LevelWarn
		}
		sameAsSlog(t, l)
	})
}

// TestLevelIsThatOfNow: a level and a redaction that change hold for the next line.
func TestLevelIsThatOfNow(t *testing.T) {
	var out bytes.Buffer
	level, hidden := &slog.LevelVar{}, accesslog.Redaction{}
	log := accesslog.New(&out, accesslog.Options{Level: level, Redaction: func() *accesslog.Redaction { return &hidden }})
	for i, level2 := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelDebug} {
		level.Set(level2)
		hidden.Path = i == 2
		l := usual()
		log.Access(&l)
		l.Level, l.Path = slog.LevelWarn, "/of/a/warning"
		log.Access(&l)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if info, warn, paths := strings.Count(out.String(), `"INFO"`), strings.Count(out.String(), `"WARN"`), strings.Count(out.String(), `"path"`); info != 2 || warn != 3 || paths != 3 {
		t.Errorf("%d lines of level info, %d of warn and %d paths, want 2, 3 and 3:\n%s", info, warn, paths, &out)
	}
}
