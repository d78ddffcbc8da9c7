package proxy_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/evergate/evergate/proxy"
)

// TestBodyThatGoesOn: over HTTP/2 a body has a length and an end, and one that goes on after
// its length is no request. Its bytes go up as they come, and the app must not take those for
// a whole one.
func TestBodyThatGoesOn(t *testing.T) {
	type read struct {
		body string
		err  error
	}
	begun, got := make(chan struct{}, 1), make(chan read, 1)
	app := newApp(t, func(_ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		body, err := io.ReadAll(r.Body)
		got <- read{string(body), err}
	})
	_, gw := impatient(t, time.Minute, proxy.UpstreamOptions{Target: app.url()})
	post := func(frames ...string) read {
		t.Helper()
		c, err := tls.Dial("tcp", gw.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f := http2.NewFramer(c, c)
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "app.test"}, {":path", "/x"}, {"content-length", "3"}} {
			_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		_, _ = io.WriteString(c, http2.ClientPreface)
		_ = f.WriteSettings()
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
		for i, b := range frames {
			if err := f.WriteData(1, i == len(frames)-1, []byte(b)); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				<-begun
				time.Sleep(20 * time.Millisecond) // so that what came first is on its way
			}
		}
		return <-got
	}
	for _, frames := range [][]string{{"abc"}, {"abc", ""}, {"a", "bc"}, {"a", "b", "c", ""}} {
		if r := post(frames...); r.err != nil || r.body != "abc" {
			t.Errorf("%q: the app got %q (%v), want abc", frames, r.body, r.err)
		}
	}
	for _, frames := range [][]string{{"abc", "d"}, {"ab", "cd"}, {"abc", "", "GET / HTTP/1.1\r\n\r\n"}, {"ab", ""}} {
		if r := post(frames...); r.err == nil || len(r.body) > 2 {
			t.Errorf("%q: the app got %q (%v), want no end of it", frames, r.body, r.err)
		}
	}
}
