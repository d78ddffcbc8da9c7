package auth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
)

// easyCorp signs in whoever comes back from it, so that all that keeps anybody out is what
// binds a callback to its browser.
type easyCorp struct{ completed int }

func (c *easyCorp) Begin(_ context.Context, f auth.Flow) (string, error) {
	return "https://corp.test/authorize?state=" + url.QueryEscape(f.State), nil
}

func (c *easyCorp) Complete(context.Context, auth.Flow, url.Values) (*auth.Login, error) {
	c.completed++
	return &auth.Login{Identity: auth.Identity{Provider: "corp", Subject: "carol", User: "carol"}, AuthTime: noon, ACR: "high", AccessToken: auth.Token{Value: secret.New("t")}}, nil
}

// desk is the pages alone, without a network, which a fuzz target asks many times.
type desk struct {
	sessions *sessions
	corp     *easyCorp
	once     *once
	sealer   *sealer
	handler  http.Handler
}

func newDesk(f *testing.F) *desk {
	f.Helper()
	now := func() time.Time { return noon }
	d := &desk{&sessions{live: map[string]*auth.Login{}}, &easyCorp{}, &once{used: map[string]bool{}}, newSealer(now), nil}
	h, err := auth.NewHandler(auth.HandlerConfig{
		Sessions: d.sessions, Sealer: d.sealer, PublicURL: &url.URL{Scheme: "http", Host: "gw.test"}, CookiePrefix: sessionCookie, Now: now,
		Providers: []auth.Provider{{Name: "corp", Method: d.corp}, {Name: "other", Method: d.corp}}, Once: d.once.Once,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = h.Close() })
	d.handler = web.Serve(h, web.Options{})
	return d
}

// anew forgets who signed in, and what was used.
func (d *desk) anew() {
	d.sessions.forget()
	clear(d.once.used)
	d.corp.completed = 0
}

// get asks for a page with a Cookie header.
func (d *desk) get(t *testing.T, path, query, cookie string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "http://gw.test"+path, nil)
	r.URL.RawQuery = query
	r.Header["Cookie"] = []string{cookie}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w
}

// checkAnswer: an answer is a page or a redirect, to the provider or to a path of this host, in
// every reader's eyes; and nobody is signed in by one that fails.
func (d *desk) checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	to := w.Header().Get("Location")
	switch {
	case w.Code == http.StatusSeeOther && strings.HasPrefix(to, "https://corp.test/authorize?"):
	case w.Code == http.StatusSeeOther && strings.HasPrefix(to, "/.evergate/"):
		u, err := url.Parse(to)
		if err != nil || u.Path != "/.evergate/landed" && u.Path != "/.evergate/login" && u.Path != "/.evergate/login/corp" {
			t.Fatalf("it goes to %q", to)
		}
		if rd := u.Query().Get("rd"); auth.ReturnTo(rd) != rd {
			t.Fatalf("it goes to %q, and then to %q", to, rd)
		}
	case w.Code == http.StatusSeeOther && auth.ReturnTo(to) == to:
	case w.Code >= 400 && w.Code < 500 && to == "":
		if len(d.sessions.live) > 0 && w.Code != http.StatusForbidden {
			t.Fatalf("somebody is signed in by an answer with status %d", w.Code)
		}
	default:
		t.Fatalf("got status %d and Location %q", w.Code, to)
	}
	for name := range w.Header() {
		for _, v := range w.Header()[name] {
			if strings.ContainsAny(v, "\r\n\x00") {
				t.Fatalf("got %s: %q", name, v)
			}
		}
	}
}

// FuzzCallback sends callbacks with any query and any cookies, of which STATE and FLOW are what
// this browser was given: it is signed in by exactly the one state that its one cookie is for,
// once, and goes where it was going.
func FuzzCallback(f *testing.F) {
	for _, query := range []string{"code=good&state=STATE", "state=STATE", "code=good&state=STATE&state=STATE", "code=good&state=STATEx", "code=good&%73tate=STATE", "state=&state=STATE", "code=good&state=STATE;", "error=x&state=STATE", "code=good&state=OTHER", "a=%zz&state=STATE", ""} {
		for _, cookie := range []string{"FLOW", "", "FLOW; FLOW", "a=b; FLOW; c=d", "FLOWx", "x FLOW", "OTHERFLOW"} {
			f.Add(query, cookie)
		}
	}
	d := newDesk(f)
	begin := func(t *testing.T, d *desk) (state, cookie string) {
		w := d.get(t, "/.evergate/login/corp", "rd=%2Fwanted", "")
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil || len(w.Result().Cookies()) != 1 {
			t.Fatalf("got %d %v, want a flow to begin", w.Code, w.Header())
		}
		c := w.Result().Cookies()[0]
		return to.Query().Get("state"), c.Name + "=" + c.Value
	}
	f.Fuzz(func(t *testing.T, query, cookie string) {
		if strings.ContainsFunc(cookie, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return // no header holds it
		}
		d.anew()
		state, flow := begin(t, d)
		otherState, otherFlow := begin(t, d)
		fill := func(s string) string {
			return strings.NewReplacer("OTHERFLOW", otherFlow, "OTHER", url.QueryEscape(otherState), "STATE", url.QueryEscape(state), "FLOW", flow).Replace(s)
		}
		query, cookie = fill(query), fill(cookie)
		w := d.get(t, "/.evergate/callback/corp", query, cookie)
		d.checkAnswer(t, w)

		values, err := url.ParseQuery(query)
		want := false
		for state, flow := range map[string]string{state: flow, otherState: otherFlow} {
			name, _, _ := strings.Cut(flow, "=")
			its, named := 0, 0
			for pair := range strings.SplitSeq(cookie, ";") {
				pair = strings.Trim(pair, " \t")
				if n, _, _ := strings.Cut(pair, "="); strings.Trim(n, " \t") == name {
					named++
				}
				if pair == flow {
					its++
				}
			}
			want = want || err == nil && len(values["state"]) == 1 && values["state"][0] == state && its == 1 && named == 1
		}
		signedIn := len(d.sessions.live) == 1
		if signedIn != want || d.corp.completed != len(d.sessions.live) {
			t.Fatalf("%q with %q: got signed in %v and %d codes used, want %v", query, cookie, signedIn, d.corp.completed, want)
		}
		if !signedIn {
			return
		}
		if to := w.Header().Get("Location"); to != "/.evergate/landed?rd=%2Fwanted" {
			t.Fatalf("%q with %q: it goes to %q", query, cookie, to)
		}
		d.sessions.forget()
		if d.checkAnswer(t, d.get(t, "/.evergate/callback/corp", query, cookie)); len(d.sessions.live) > 0 || d.corp.completed != 1 {
			t.Fatalf("%q with %q: it signs in once more", query, cookie)
		}
	})
}

// FuzzStateCookie goes behind the seals of the state and of its flow's cookie: whatever they
// hold, a browser stays on this host or goes to the provider, and is signed in by a flow that was
// begun with this state at that provider, has its id and began lately.
func FuzzStateCookie(f *testing.F) {
	const state = `{"i":"00112233","p":"corp","r":"/wanted","t":"2026-03-04T12:00:00Z"}`
	const flow = `{"i":"00112233","p":"corp","r":"/wanted","t":"2026-03-04T12:00:00Z","o":"n","v":"v"}`
	f.Add(state, flow, true)
	f.Add(state, flow, false)
	for _, changed := range [][2]string{
		{`/wanted`, `//evil.example`}, {`/wanted`, `/.evergate/logout`}, {`/wanted`, `/\\evil.example`}, {`/wanted`, `/a\nSet-Cookie: x=y`}, {`00112233`, `x; y`}, {`2026-03-04T12`, `2026-03-04T11`}, {`2026`, `2036`},
		{`"corp"`, `"other"`}, {`"r"`, `"f":"deadbeef","r"`}, {`"r"`, `"a":"sealed","r"`}, {`"r"`, `"d":{"c":["high"],"f":true,"a":60000000000},"r"`}, {`"r"`, `"d":{"m":["otp"]},"m":"login","r"`}, {`"r"`, `"n":2,"m":"none","r"`},
	} {
		f.Add(strings.ReplaceAll(state, changed[0], changed[1]), flow, true)
		f.Add(state, strings.ReplaceAll(flow, changed[0], changed[1]), true)
		f.Add(strings.ReplaceAll(state, changed[0], changed[1]), strings.ReplaceAll(flow, changed[0], changed[1]), true)
	}
	f.Add("null", "{}", true)
	d := newDesk(f)
	f.Fuzz(func(t *testing.T, statePlain, flowPlain string, its bool) {
		d.anew()
		state, err := d.sealer.Seal("state", "gw.test", []byte(statePlain), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		// A flow is for one state, which is this one or is not; whatever else it says stays as it is.
		digest := sha256.Sum256([]byte(state))
		if !its {
			digest[0] ^= 1
		}
		if rest, ok := strings.CutPrefix(flowPlain, "{"); ok {
			flowPlain = strings.Replace(`{"s":"`+base64.StdEncoding.EncodeToString(digest[:])+`",`+rest, ",}", "}", 1)
		}
		flow, err := d.sealer.Seal("flow", "gw.test", []byte(flowPlain), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var inState struct {
			ID       string    `json:"i"`
			Provider string    `json:"p"`
			Started  time.Time `json:"t"`
		}
		var inFlow struct {
			ID      string    `json:"i"`
			Started time.Time `json:"t"`
			State   []byte    `json:"s"`
		}
		isState, isFlow := json.Unmarshal([]byte(statePlain), &inState) == nil, json.Unmarshal([]byte(flowPlain), &inFlow) == nil
		w := d.get(t, "/.evergate/callback/corp", "code=good&state="+state, sessionCookie+"-flow-"+inState.ID+"="+flow)
		d.checkAnswer(t, w)
		if len(d.sessions.live) == 0 && d.corp.completed == 0 {
			return
		}
		if !its || !isState || !isFlow || inState.Provider != "corp" || inState.ID != inFlow.ID || string(inFlow.State) != string(digest[:]) || noon.Sub(inFlow.Started) >= 10*time.Minute || d.corp.completed != 1 {
			t.Fatalf("signed in with %s and %s", statePlain, flowPlain)
		}
	})
}
