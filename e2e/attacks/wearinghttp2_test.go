package attacks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// wearH2 is an HTTP/2 client that does as it likes.
type wearH2 struct {
	net.Conn
	*http2.Framer
	ended chan error // why the gateway ended the connection; nobody reads where that is not wanted
}

func (l *lab) wearH2(t *testing.T, read bool, settings ...http2.Setting) *wearH2 {
	t.Helper()
	c, err := wearDialTLS(l, "h2")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	h := &wearH2{c, http2.NewFramer(c, c), make(chan error, 1)}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	if read {
		go func() {
			for {
				f, err := h.ReadFrame()
				if err != nil {
					h.ended <- err
					return
				}
				if g, ok := f.(*http2.GoAwayFrame); ok && g.ErrCode != http2.ErrCodeNo {
					h.ended <- errors.New(g.ErrCode.String())
					return
				}
			}
		}()
	}
	return h
}

func (l *lab) wearBlock(path string) []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "GET"}, {":path", path}, {":scheme", "https"}, {":authority", l.host}} {
		_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	return block.Bytes()
}

// over waits for the gateway to end the connection.
func (h *wearH2) over(t *testing.T, what string) {
	t.Helper()
	select {
	case err := <-h.ended:
		t.Logf("%s: ended by %v", what, err)
	case <-time.After(patience):
		t.Errorf("%s: the connection goes on", what)
	}
}

func wearHTTP2(t *testing.T, l *lab) {
	large := answer(200, "", strings.Repeat("x", 1<<20))
	l.app.answers(t, func(g *got) string {
		if g.RequestURI == "/public/large" {
			return large
		}
		return echo(g)
	})
	// What is reset at once goes to the sign-in page, so that it can be told how often the app was asked.
	reset, served := l.wearBlock("/.evergate/login"), 0
	served += l.wearBeside(64, func() {
		h, sent := l.wearH2(t, true), 0
		for id := uint32(1); sent < 1_000_000; id += 2 {
			if h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: reset, EndStream: true, EndHeaders: true}) != nil || h.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				break
			}
			sent++
		}
		h.over(t, fmt.Sprintf("rapid reset, %d requests", sent))
	})
	served += l.wearBeside(64, func() {
		h, sent := l.wearH2(t, true), 0
		var filler bytes.Buffer
		_ = hpack.NewEncoder(&filler).WriteField(hpack.HeaderField{Name: "x-filler", Value: strings.Repeat("a", 8000), Sensitive: true})
		if err := h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: reset, EndStream: true}); err != nil {
			t.Error(err)
		}
		for ; sent < 100_000 && h.WriteContinuation(1, false, filler.Bytes()) == nil; sent++ {
		}
		h.over(t, fmt.Sprintf("a header without end, %d frames", sent))
	})
	for what, write := range map[string]func(*wearH2) error{
		"PING": func(h *wearH2) error { return h.WritePing(false, [8]byte{1}) },
		"SETTINGS": func(h *wearH2) error {
			return h.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 14})
		},
	} {
		served += l.wearBeside(64, func() {
			h, sent := l.wearH2(t, false), 0
			_ = h.SetDeadline(time.Now().Add(2 * time.Second)) // the gateway may also stop reading
			for ; sent < 2_000_000 && write(h) == nil; sent++ {
			}
			t.Logf("%s, %d frames, whose answers nobody reads", what, sent)
			if sent == 2_000_000 {
				t.Errorf("%s: the gateway takes them without end", what)
			}
		})
	}
	const streams = 100
	served += l.wearBeside(64, func() {
		h := l.wearH2(t, true, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		block := l.wearBlock("/public/large")
		for i := range uint32(streams) {
			if err := h.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: block, EndStream: true, EndHeaders: true}); err != nil {
				t.Fatal(err)
			}
		}
		for end := time.Now().Add(patience); time.Now().Before(end) && strings.Count(l.out.from(l.before.log), `"path":"/public/large"`) < streams; {
			time.Sleep(50 * time.Millisecond)
		}
		if got := strings.Count(l.out.from(l.before.log), `"path":"/public/large"`); got != streams {
			t.Errorf("a window of one byte: %d of %d answers are over", got, streams)
		}
	})
	l.saw(traces{app: served + streams})
}

// wearRenegotiation lets openssl do what Go's client has no words for. It takes a command for a line that
// begins with its letter, one a read.
func wearRenegotiation(t *testing.T, l *lab) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		missing(t, "openssl is not installed, so nobody renegotiates; apt-get install openssl")
	}
	served := l.wearBeside(64, func() {
		for _, c := range []struct {
			version, command string
		}{{"-tls1_2", "R\n"}, {"-tls1_3", "k\n"}, {"-tls1_3", "K\n"}} {
			cmd := exec.Command(openssl, "s_client", "-connect", l.address, "-servername", gatewayHost, c.version)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			var out output
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			// It takes nothing for a command before it has said that it is connected.
			for end := time.Now().Add(patience); time.Now().Before(end) && !strings.Contains(out.from(0), "Verify return code"); {
				time.Sleep(10 * time.Millisecond)
			}
			sent, over := 0, false
			// How many it takes is not told: lines that pile up count once.
			for end := time.Now().Add(patience); !over && time.Now().Before(end); sent++ {
				if _, err := io.WriteString(in, c.command); err != nil {
					break
				}
				select {
				case <-ended:
					over = true
				case <-time.After(15 * time.Millisecond):
				}
			}
			if !over {
				select {
				case <-ended:
				case <-time.After(patience):
					t.Errorf("%s %q: after %d of them the connection goes on", c.version, c.command, sent)
					_ = cmd.Process.Kill()
					<-ended
				}
			}
			said := out.from(0)
			t.Logf("%s %q, %d times: %q", c.version, c.command, sent, said[max(0, len(said)-150):])
		}
	})
	l.saw(traces{app: served})
}
