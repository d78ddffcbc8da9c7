package proxy_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// ticks is an event stream without end.
func ticks(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for r.Context().Err() == nil {
		_, _ = io.WriteString(w, "data: tick\n\n")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(5 * time.Millisecond)
	}
}

// ends reports whether a stream comes to its end within a second.
func ends(t *testing.T, body io.ReadCloser) bool {
	t.Helper()
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, body)
		close(over)
	}()
	t.Cleanup(func() { body.Close(); <-over })
	select {
	case <-over:
		return true
	case <-time.After(time.Second):
		return false
	}
}

// TestStreamsFollowTheRules: what goes on without a session is asked again when other
// rules come into force. A stream whose route is gone keeps the rule it began with.
func TestStreamsFollowTheRules(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(ticks))
	defer app.Close()
	way := newWay(t, proxy.UpstreamOptions{Target: app.URL})
	for _, c := range []struct {
		name string
		then *proxy.Route
		ends bool
	}{
		{"public still", &proxy.Route{Path: "/a/", Policy: auth.Policy{Public: true}}, false},
		{"for those who are signed in", &proxy.Route{Path: "/"}, true},
		{"gone", &proxy.Route{Path: "/b/"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			streams := &proxy.Streams{}
			gate := func(r *proxy.Route) *proxy.Gate {
				r.Upstream = way
				return &proxy.Gate{Auth: alice(nil), Router: newRouter(t, r), Streams: streams}
			}
			gw := newGateway(t, gate(&proxy.Route{Path: "/", Policy: auth.Policy{Public: true}}))
			req, _ := http.NewRequestWithContext(t.Context(), "GET", gw.URL+"/a/x", nil)
			req.Host = "gw.test"
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(res.Body, make([]byte, 20)); err != nil || res.StatusCode != 200 {
				t.Fatal(res.Status, err)
			}
			streams.Follow(gate(c.then))
			if got := ends(t, res.Body); got != c.ends {
				t.Errorf("ends: got %v, want %v", got, c.ends)
			}
		})
	}
}

// TestRulesOfASessionAreThoseInForce: what a session is given to ask is about the route
// of now.
func TestRulesOfASessionAreThoseInForce(t *testing.T) {
	s, streams := newSession(), &proxy.Streams{}
	app := httptest.NewServer(http.HandlerFunc(ticks))
	defer app.Close()
	way := newWay(t, proxy.UpstreamOptions{Target: app.URL})
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{Upstream: way}), Streams: streams})
	res, err := http.DefaultClient.Do(gw.request(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	allowed := <-s.check
	staff := &auth.Login{Identity: auth.Identity{Groups: []string{"staff"}}}
	if allowed(staff) != nil || allowed(&auth.Login{}) != nil {
		t.Error("the rule that the stream began with lets everybody pass, and it does not")
	}
	streams.Follow(&proxy.Gate{Router: newRouter(t, &proxy.Route{Upstream: way, Policy: auth.Policy{Allow: []*auth.Rule{{Groups: []string{"staff"}}}}})})
	if allowed(staff) != nil || allowed(&auth.Login{}) == nil {
		t.Error("the rule in force lets staff pass alone, and it is not the one that is asked")
	}
}

// TestStreamsFollowWhatIsAskedOfDevices: where a route asks for a bound session by now, what began
// without one, or without a proof of it, ends.
func TestStreamsFollowWhatIsAskedOfDevices(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(ticks))
	defer app.Close()
	way := newWay(t, proxy.UpstreamOptions{Target: app.URL})
	for _, c := range []struct {
		name      string
		bound     bool
		then, now proxy.DeviceDemand
		may       bool
	}{
		{"the same", false, proxy.DevicePreferred, proxy.DevicePreferred, true},
		{"required, and it is bound", true, proxy.DevicePreferred, proxy.DeviceRequired, true},
		{"required, and it is not bound", false, proxy.DevicePreferred, proxy.DeviceRequired, false},
		{"required, and nobody asked for the proof", true, proxy.DeviceIgnored, proxy.DeviceRequired, false},
		{"preferred, and nobody asked for the proof", true, proxy.DeviceIgnored, proxy.DevicePreferred, false},
		{"not asked for any more", true, proxy.DeviceRequired, proxy.DeviceIgnored, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, streams := newSession(), &proxy.Streams{}
			s.bound = c.bound
			gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{Upstream: way, Device: c.then}), Streams: streams})
			res, err := http.DefaultClient.Do(gw.request(t, "GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			allowed := <-s.check
			if err := allowed(&auth.Login{}); err != nil {
				t.Errorf("as it began: got %v", err)
			}
			streams.Follow(&proxy.Gate{Router: newRouter(t, &proxy.Route{Upstream: way, Device: c.now})})
			if err := allowed(&auth.Login{}); (err == nil) != c.may {
				t.Errorf("by the route of now: got %v, want that it may go on: %t", err, c.may)
			}
		})
	}
}

// TestStreamsEndWithTheGateway: WebSockets hear that they should come again; a download
// goes on.
func TestStreamsEndWithTheGateway(t *testing.T) {
	streams := &proxy.Streams{}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ws":
			echo(w, r)
		case "/download":
			w.WriteHeader(200)
			for range 30 {
				_, _ = io.WriteString(w, "part of it ")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(50 * time.Millisecond)
			}
		default:
			ticks(w, r)
		}
	}))
	defer app.Close()
	way := newWay(t, proxy.UpstreamOptions{Target: app.URL})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Policy: auth.Policy{Public: true}, Upstream: way}), Streams: streams})
	get := func(path string) *http.Response {
		t.Helper()
		res, err := http.DefaultClient.Do(gw.request(t, "GET", path, nil))
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	conn, _, err := websocket.Dial(t.Context(), "ws"+gw.URL[4:]+"/ws", &websocket.DialOptions{Host: "gw.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	events, download := get("/events"), get("/download")
	time.Sleep(1200 * time.Millisecond) // the download counts as long-lived by now
	streams.End()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != proxy.CloseRestart {
		t.Errorf("the WebSocket: got %v, want close code %d", err, proxy.CloseRestart)
	}
	if !ends(t, events.Body) {
		t.Error("the event stream goes on")
	}
	if !ends(t, get("/events").Body) {
		t.Error("an event stream that begins afterwards goes on")
	}
	body, err := io.ReadAll(download.Body)
	if err != nil || len(body) != 330 {
		t.Errorf("the download: got %d bytes, %v, want all 330", len(body), err)
	}
}

// TestUploadEndsWithItsSession: a body that goes on and on is somebody's for as long as they are
// signed in, and no longer.
func TestUploadEndsWithItsSession(t *testing.T) {
	for _, what := range []string{"ended", "answered"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			broke := make(chan error, 1)
			app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if what == "answered" { // and the body still comes
					_ = http.NewResponseController(w).EnableFullDuplex()
					w.WriteHeader(http.StatusOK)
					_ = http.NewResponseController(w).Flush()
				}
				_, err := io.Copy(io.Discard, r.Body)
				broke <- err
			}))
			defer app.Close()
			s := newSession()
			// What is left of a body is a matter of who serves: it must not be waited for.
			gate := &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: app.URL})}),
				OwnCookie: ownCookie, Log: slog.New(slog.DiscardHandler)}
			gw := httptest.NewServer(web.Serve(gate, web.Options{}))
			defer gw.Close()
			body, feed := io.Pipe()
			defer feed.Close()
			req, err := http.NewRequestWithContext(t.Context(), "POST", gw.URL+"/", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Cookie", sid+"=alice")
			over := make(chan error, 1)
			go func() {
				res, err := http.DefaultClient.Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				over <- err
			}()
			go func() {
				for _, err := io.WriteString(feed, "x"); err == nil; _, err = io.WriteString(feed, "x") {
					time.Sleep(10 * time.Millisecond)
				}
			}()
			select {
			case <-s.check: // it is attended
			case <-time.After(10 * time.Second):
				t.Fatal("nobody looks whether the session still lives")
			}
			s.end()
			for what, c := range map[string]chan error{"the app's body": broke, "the client's answer": over} {
				select {
				case err := <-c:
					if err == nil {
						t.Errorf("%s came to a good end", what)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("%s goes on", what)
				}
			}
		})
	}
}
