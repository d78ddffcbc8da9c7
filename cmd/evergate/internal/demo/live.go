package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	// writeWithin is how long a client may take to read one event: then it is
	// gone, and holds nothing here.
	writeWithin = 10 * time.Second
	// maxMessage is the longest WebSocket message that is echoed.
	maxMessage = 64 << 10
)

// opening is what a stream or socket says of the token that opened it: the
// token runs out, the connection stays.
type opening struct {
	Time    time.Time `json:"time"`
	Opened  time.Time `json:"opened"`
	Seconds int       `json:"seconds"` // since then
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

func (a *App) opening(r *http.Request) opening {
	s := a.look(r)
	return opening{Opened: s.Time, Token: s.Token, Expires: s.Expires}
}

// at is the opening as seen at a later time.
func (o opening) at(now time.Time) opening {
	o.Time = now.UTC()
	o.Seconds = int(now.Sub(o.Opened).Seconds())
	return o
}

// events is a stream of server-sent events, one a tick, until the client or the
// app goes (HTML Living Standard, section 9.2).
func (a *App) events(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	if _, err := fmt.Fprint(w, "retry: 1000\n\n"); err != nil {
		return
	}
	open := a.opening(r)
	tick := time.NewTicker(a.tick)
	defer tick.Stop()
	for id := 1; ; id++ {
		data, err := json.Marshal(open.at(a.now()))
		if err != nil {
			return
		}
		_ = rc.SetWriteDeadline(time.Now().Add(writeWithin)) // a writer without deadlines has no slow client
		if _, err := fmt.Fprintf(w, "id: %d\nevent: tick\ndata: %s\n\n", id, data); err != nil {
			return
		}
		if rc.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// socket is a WebSocket (RFC 6455) that sends every message back as it came,
// and a JSON line each tick.
func (a *App) socket(w http.ResponseWriter, r *http.Request) {
	if !sameOrigin(r) {
		http.Error(w, "A page of another origin may not open this WebSocket.", http.StatusForbidden)
		return
	}
	open := a.opening(r)
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // sameOrigin has verified
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxMessage)

	// Reading has a context of its own: ending r's would cut the connection
	// before the close frame that says why.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	var lines sync.WaitGroup
	defer lines.Wait()
	defer cancel()
	lines.Go(func() { a.sendLines(ctx, conn, open) })
	lines.Go(func() { a.cutOff(ctx, cancel) })
	for {
		kind, message, err := conn.Read(ctx)
		if err != nil {
			return
		}
		if send(ctx, conn, kind, message) != nil {
			return
		}
	}
}

// sendLines writes a line each tick until ctx ends, and says goodbye when the
// app does.
func (a *App) sendLines(ctx context.Context, conn *websocket.Conn, open opening) {
	tick := time.NewTicker(a.tick)
	defer tick.Stop()
	for {
		line, err := json.Marshal(open.at(a.now()))
		if err != nil || send(ctx, conn, websocket.MessageText, append([]byte("ping "), line...)) != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		case <-a.life.Done():
			_ = conn.Close(websocket.StatusGoingAway, "the demo app is stopping")
			return
		}
	}
}

// cutOff ends a connection whose client has not taken the goodbye in time.
func (a *App) cutOff(ctx context.Context, cancel context.CancelFunc) {
	select {
	case <-a.life.Done():
	case <-ctx.Done():
		return
	}
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-timer.C:
		cancel()
	case <-ctx.Done():
	}
}

func send(ctx context.Context, conn *websocket.Conn, kind websocket.MessageType, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	return conn.Write(ctx, kind, message)
}

// sameOrigin reports whether the page that opens a WebSocket is our own. The
// app's host is what the gateway says the browser used, where there is one. No
// Origin means no browser.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	return u.Host == r.Host || u.Host == r.Header.Get("X-Forwarded-Host")
}
