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
// to it. Seen hears of large buffers that are in use while a body is under way.
func bulk(t *testing.T) (gw *gateway, seen func() bool) {
	t.Helper()
	inUse := make(chan bool, 1)
	look := func() {
		if proxy.LentLong() > 0 {
			select {
			case inUse <- true:
			default:
			}
		}
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			sum := sha256.New()
			_, _ = io.CopyN(sum, r.Body, 1)
			look()
			n, err := io.Copy(sum, r.Body)
			fmt.Fprintf(w, "%d %x %v", n+1, sum.Sum(nil), err)
			return
		}
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		body := someBytes(n)
		w.Header().Set("Content-Length", strconv.Itoa(n))
		half := n / 2
		_, _ = w.Write(body[:half])
		_ = http.NewResponseController(w).Flush()
		time.Sleep(20 * time.Millisecond) // the gateway is at it
		look()
		_, _ = w.Write(body[half:])
	}))
	t.Cleanup(app.Close)
	way := newWay(t, proxy.UpstreamOptions{Target: app.URL})
	gw = newGateway(t, &proxy.Gate{Router: newRouter(t, &proxy.Route{Path: "/", Upstream: way, Policy: public})})
	return gw, func() bool {
		select {
		case <-inUse:
			return true
		default:
			return false
		}
	}
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

// TestLongBodies: bodies arrive whole by a large buffer and, where all of those are in use, by
// one as ever.
func TestLongBodies(t *testing.T) {
	gw, large := bulk(t)
	for _, all := range []bool{true, false} {
		letGo := func() {}
		if !all {
			letGo = proxy.HoldLong()
		}
		before := proxy.LentLong()
		for _, n := range []int{proxy.Long - 1, proxy.Long, 3*proxy.Long + 17} {
			for way, move := range map[string]func(*gateway, int) error{"down": down, "up": up} {
				if err := move(gw, n); err != nil {
					t.Errorf("%s, %d bytes: %v", way, n, err)
				}
				if got, want := large(), n >= proxy.Long || !all; got != want {
					t.Errorf("%s, %d bytes: large buffers in use: %v, want %v", way, n, got, want)
				}
			}
		}
		if got := settles(before, proxy.LentLong); got != before {
			t.Errorf("%d large buffers are in use in the end, of %d before", got, before)
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
	gw, _ := bulk(t)
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
