package rig

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRig starts all that there is, signs in at each gateway, and has wrk send requests.
func TestRig(t *testing.T) {
	Need(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	r, err := New(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	app, err := r.Upstream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	redis, err := r.Redis(ctx)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := r.Provider(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var first *Gateway
	for _, o := range []GatewayOptions{
		{Upstream: app.URL},
		{Upstream: app.URL, Store: "redis", Redis: redis.Address},
		{Upstream: app.URL, Store: "cookie", Provider: provider},
	} {
		g, err := r.NewGateway(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		var filled []string
		if o.Provider == nil {
			if filled, err = g.Fill(ctx, 40, 10); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Start(ctx); err != nil {
			t.Fatal(err)
		}
		cookies, err := g.SignIn(ctx)
		if err != nil {
			t.Fatalf("%s: %v", o.Store, err)
		}
		for _, c := range append(filled, cookies) {
			if body, err := g.Get(ctx, http.DefaultClient, "/", c); err != nil || len(body) != 1<<10 {
				t.Fatalf("%s: got %d bytes, %v, want the app's KiB", o.Store, len(body), err)
			}
		}
		before, err := g.CPU()
		if err != nil {
			t.Fatal(err)
		}
		l, err := Wrk(ctx, WrkOptions{URL: g.Base + "/", Header: []string{"Cookie: " + cookies}, For: time.Second, Connections: 4})
		if err != nil {
			t.Fatal(err)
		}
		after, err := g.CPU()
		if err != nil {
			t.Fatal(err)
		}
		if each := (after - before) / time.Duration(l.Requests); each < time.Microsecond || each > 20*time.Millisecond {
			t.Errorf("%s: a request took %s of CPU, want some microseconds", o.Store, each)
		}
		if m, err := g.Memory(); err != nil || m.Own < 1<<20 || m.Files() < 1<<20 {
			t.Errorf("%s: its memory is %+v, %v", o.Store, m, err)
		}
		if _, err := Wrk(ctx, WrkOptions{URL: g.Base + "/", For: time.Second, Connections: 1}); err == nil {
			t.Errorf("%s: requests of nobody were taken for good ones", o.Store)
		}
		if first == nil {
			first = g
		}
	}
	if commands, err := redis.Commands(ctx); err != nil || commands["get"] == 0 {
		t.Errorf("redis: got %v, %v, want GETs among them", commands, err)
	}
	bare, err := r.Bare(ctx, app.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Wrk(ctx, WrkOptions{URL: bare.URL + "/", For: time.Second, Connections: 4}); err != nil {
		t.Error(err)
	}
	if err := first.Stop(); err != nil {
		t.Error(err)
	}
	if err := first.Start(ctx); err != nil {
		t.Error(err)
	}
	if log := first.Said(); !strings.Contains(log, `"msg":"request"`) && !strings.Contains(log, `"path":"/"`) {
		t.Errorf("its access log does not go to its file:\n%s", log)
	}
}

const wrkSays = `Running 2s test @ http://127.0.0.1:9000/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   423.11us  391.23us  11.02ms   92.11%
    Req/Sec    38.62k     2.31k   42.02k    75.00%
  Latency Distribution
     50%  351.00us
     75%  487.00us
     90%  721.00us
     99%    1.91ms
  76912 requests in 2.00s, 87.29MB read
`

func TestReadWrk(t *testing.T) {
	l, err := readWrk(wrkSays + "Requests/sec:  38425.11\nTransfer/sec:     43.61MB\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := (Load{Requests: 76912, Took: 2 * time.Second, Bytes: 87.29 * (1 << 20), P50: 351 * time.Microsecond,
		P75: 487 * time.Microsecond, P90: 721 * time.Microsecond, P99: 1910 * time.Microsecond}); l != want {
		t.Errorf("got %+v, want %+v", l, want)
	}
	if l, err = readWrk(wrkSays + "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 77\n"); err != nil || l.Broken != 10 || l.Refused != 77 {
		t.Errorf("got %+v, %v, want 10 broken and 77 refused", l, err)
	}
	if _, err := readWrk("unable to connect to 127.0.0.1:9000 Connection refused\n"); err == nil {
		t.Error("what tells nothing was read")
	}
	for text, want := range map[string]float64{"512B": 512, "1.50KB": 1536, "2.00MB": 2 << 20, "1.00GB": 1 << 30} {
		if got, err := readSize(text); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestReadMemory(t *testing.T) {
	m, err := readMemory(strings.NewReader("00400000-7ffd9000 ---p 00000000 00:00 0    [rollup]\nRss:      21504 kB\nPss:      20000 kB\nAnonymous:      5120 kB\n"))
	if err != nil || m != (Memory{21 << 20, 5 << 20}) || m.Files() != 16<<20 {
		t.Errorf("got %+v, %v", m, err)
	}
	if _, err := readMemory(strings.NewReader("nothing")); err == nil {
		t.Error("what tells nothing was read")
	}
}

func TestReadCommandStats(t *testing.T) {
	got := readCommandStats("# Commandstats\r\ncmdstat_get:calls=21,usec=175,usec_per_call=8.33\r\ncmdstat_client|caching:calls=3,usec=4\r\n")
	if len(got) != 2 || got["get"] != 21 || got["client|caching"] != 3 {
		t.Errorf("got %v", got)
	}
}
