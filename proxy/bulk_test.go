package proxy_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/evergate/evergate/proxy"
)

// bulk is an app that sends as many bytes as it is asked for, and says which it got; and the way
// to it. In the middle of a body it waits until look says that it has seen enough.
func bulk(t *testing.T, o proxy.UpstreamOptions, look func()) *gateway {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			sum := sha256.New()
			half, _ := io.CopyN(sum, r.Body, r.ContentLength/2)
			look()
			n, err := io.Copy(sum, r.Body)
			fmt.Fprintf(w, "%d %x %v", half+n, sum.Sum(nil), err)
			return
		}
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		body := someBytes(n)
		w.Header().Set("Content-Length", strconv.Itoa(n))
		half := n / 2
		_, _ = w.Write(body[:half])
		_ = http.NewResponseController(w).Flush()
		look()
		_, _ = w.Write(body[half:])
	}))
	t.Cleanup(app.Close)
	o.Target = app.URL
	gate := &proxy.Gate{Router: newRouter(t, &proxy.Route{Path: "/", Upstream: newWay(t, o), Policy: public})}
	if o.Timeout > 0 {
		gate.StallTimeout = o.Timeout
	}
	return newGateway(t, gate)
}

func someBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// down and up move a body of n bytes, and tell whether it arrived as it was sent.
func down(gw *gateway, n int) error {
	res, err := gw.Client().Get(fmt.Sprintf("%s/?n=%d", gw.URL, n))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil && !bytes.Equal(got, someBytes(n)) {
		err = fmt.Errorf("got %d bytes that are others", len(got))
	}
	return err
}

func up(gw *gateway, n int) error {
	body := someBytes(n)
	req, err := http.NewRequest(http.MethodPut, gw.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := gw.Client().Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if want := fmt.Sprintf("%d %x %v", n, sha256.Sum256(body), nil); err == nil && string(got) != want {
		err = fmt.Errorf("the app got %s, want %s", got, want)
	}
	return err
}

// TestLongBodies: bodies arrive whole by a large buffer and, where all of those are in use or
// somebody is impatient, by one as ever.
func TestLongBodies(t *testing.T) {
	for name, c := range map[string]struct {
		timeout time.Duration
		taken   bool // all large buffers are
		n       int
		large   bool
	}{
		"none longer":            {n: 16 * proxy.Long, large: true},
		"no longer than that":    {n: proxy.Long - 1},
		"all are in use":         {n: 16 * proxy.Long, taken: true},
		"an impatient operator":  {n: 16 * proxy.Long, timeout: 20 * time.Second},
		"one who waits a little": {n: 16 * proxy.Long, timeout: 30 * time.Second, large: true},
	} {
		letGo := func() {}
		if c.taken {
			letGo = proxy.HoldLong()
		}
		before, during := proxy.LentLong(), 0
		want := before
		if c.large {
			want++
		}
		gw := bulk(t, proxy.UpstreamOptions{Timeout: c.timeout}, func() { during = settles(want, proxy.LentLong) })
		for way, move := range map[string]func(*gateway, int) error{"down": down, "up": up} {
			if err := move(gw, c.n); err != nil {
				t.Errorf("%s, %s: %v", name, way, err)
			}
			if during != want {
				t.Errorf("%s, %s: %d large buffers were in use, want %d", name, way, during, want)
			}
			if got := settles(before, proxy.LentLong); got != before {
				t.Errorf("%s, %s: %d large buffers are in use in the end, of %d before", name, way, got, before)
			}
		}
		letGo()
	}
}

// settles waits for a count to be what it should.
func settles(want int, count func() int) (got int) {
	for range 400 {
		if got = count(); got == want {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return got
}

// TestLongBodiesThatBreakOff: a large buffer is not lost where a client goes away within a body.
func TestLongBodiesThatBreakOff(t *testing.T) {
	gw := bulk(t, proxy.UpstreamOptions{}, func() {})
	for range 3 {
		res, err := gw.Client().Get(fmt.Sprintf("%s/?n=%d", gw.URL, 64*proxy.Long))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.CopyN(io.Discard, res.Body, proxy.Long)
		res.Body.Close()
		gone := io.MultiReader(bytes.NewReader(someBytes(proxy.Long)), broken{})
		req, err := http.NewRequest(http.MethodPut, gw.URL, gone)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 64 * proxy.Long
		if res, err := gw.Client().Do(req); err == nil {
			res.Body.Close()
		}
	}
	if got := settles(0, proxy.LentLong); got != 0 {
		t.Errorf("%d large buffers are in use, and nobody is there", got)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("it broke off") }
