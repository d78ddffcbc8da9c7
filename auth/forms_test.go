package auth_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// multipartForm is a form with a small file of bytes that no text survives.
func multipartForm(t *testing.T) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	f, err := w.CreateFormFile("file", "bytes.bin")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 256 {
		_, _ = f.Write([]byte{byte(i), 0, byte(255 - i)})
	}
	_ = w.WriteField("title", "ä")
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

func TestFormIsKeptAndSent(t *testing.T) {
	kind, parts := multipartForm(t)
	for _, c := range []struct{ name, uri, contentType, body string }{
		{"urlencoded, byte for byte", "/send?to=bob&x='%7B", urlencoded, "a=1&b=%zz+&&=&c=\x00\xff;%41"},
		{"with a charset", "/send", urlencoded + ";charset=UTF-8", "a=1"},
		{"multipart with a file", "/up(load)/a%2Fb?", kind, parts},
		{"text/plain", "/note", "text/plain", "a=1\r\nb=2\r\n"},
		{"empty", "/press", urlencoded, ""},
		{"64 KiB", "/send", urlencoded, strings.Repeat("x", 64<<10)},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := open(t)
			b := h.browser()
			p := b.do("POST", c.uri, c.contentType, c.body, "Referer", h.URL+"/page?of=form")
			p.want(t, 200, "<h1>Sign in</h1>", "is kept for 10 minutes", `name="rd" value="/page?of=form"`)
			if len(h.got()) != 0 {
				t.Fatal("the form reached the app before anybody signed in")
			}
			p = b.submit(p, "username", "alice", "password", "oops")
			p.want(t, 401, "is kept for 10 minutes")
			p = b.submit(p, "username", "alice", "password", "alicealice")
			p.want(t, 200, "<h1>Send your form?</h1>", "as <strong>alice</strong>", "Send it now", `<a href="/page?of=form">Do not send, go to the page</a>`)
			if got := h.got(); len(got) != 0 {
				t.Fatalf("the app got %+v before the person agreed", got)
			}
			b.submit(p).want(t, 200, "the app: POST")
			got := h.got()
			want := request{"POST", c.uri, c.contentType, c.body, "alice", int64(len(c.body))}
			if len(got) != 1 || got[0] != want {
				t.Errorf("the app got\n%+v, want\n%+v", got, want)
			}
			again := b.submit(p)
			again.want(t, 409, "This form was sent already")
			if got := h.got(); len(got) != 0 {
				t.Errorf("a second click sent %+v", got)
			}
			if p := b.get(p.at()); p.at() != "/page?of=form" {
				t.Errorf("the page shown again leads to %s, want on", p.at())
			}
		})
	}
}

func TestFormThatIsNotKept(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		name   string
		kind   string
		body   io.Reader
		header []string
		want   string
	}{
		{"another site's", urlencoded, strings.NewReader("a=1"), []string{"Sec-Fetch-Site", "cross-site"}, "could not be kept."},
		{"a sibling host's", urlencoded, strings.NewReader("a=1"), []string{"Sec-Fetch-Site", "same-site"}, "could not be kept."},
		{"typed by nobody", urlencoded, strings.NewReader("a=1"), []string{"Sec-Fetch-Site", "none"}, "could not be kept."},
		{"of a browser that does not say", urlencoded, strings.NewReader("a=1"), []string{"Sec-Fetch-Site", ""}, "could not be kept."},
		{"JSON", "application/json", strings.NewReader("{}"), nil, "could not be kept."},
		{"of no type", "", strings.NewReader("a=1"), nil, "could not be kept."},
		{"compressed", urlencoded, strings.NewReader("a=1"), []string{"Content-Encoding", "gzip"}, "could not be kept."},
		{"over 64 KiB", urlencoded, strings.NewReader(strings.Repeat("x", 64<<10+1)), nil, "larger than 64 KiB"},
		{"over 64 KiB, of no known length", urlencoded, struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 64<<10+1))}, nil, "larger than 64 KiB"},
		{"over 1 MiB", urlencoded, strings.NewReader(strings.Repeat("x", 1<<20)), nil, "larger than 64 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), "POST", h.URL+"/send", c.body)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin", "Content-Type": c.kind} {
				req.Header.Set(name, value)
			}
			for i := 0; i < len(c.header); i += 2 {
				req.Header.Set(c.header[i], c.header[i+1])
			}
			b := h.browser()
			res, err := b.c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, _ := io.ReadAll(res.Body)
			p := page{res, string(text)}
			p.want(t, 200, "<h1>Sign in</h1>", "What you were sending", c.want, "enter it again")
			u, _ := url.Parse(h.URL)
			if got := b.c.Jar.Cookies(u); len(got) != 0 {
				t.Errorf("got cookies %v, want none", got)
			}
			b.submit(p, "username", "alice", "password", "alicealice").want(t, 200, "the app: GET /send")
		})
	}
}

func TestFormOfAScriptIsNotKept(t *testing.T) {
	h := open(t)
	p := h.browser().do("POST!", "/api", urlencoded, "a=1", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty")
	p.want(t, 401)
	if got := p.Header.Get("Set-Cookie"); got != "" {
		t.Errorf("got Set-Cookie %q, want none", got)
	}
}

func TestFormCookie(t *testing.T) {
	for _, secure := range []bool{false, true} {
		h := open(t, func(c *auth.HandlerConfig) { c.Secure = secure })
		p := h.browser().do("POST!", "/send", urlencoded, "a=1")
		p.want(t, 303)
		cookies := p.Cookies()
		if len(cookies) != 1 {
			t.Fatalf("got %v, want one cookie", cookies)
		}
		c := cookies[0]
		if !strings.HasPrefix(c.Name, sessionCookie+"-form-") || c.Path != "/" || !c.HttpOnly || c.Secure != secure ||
			c.SameSite != http.SameSiteLaxMode || c.MaxAge != 600 || c.Domain != "" {
			t.Errorf("got %v", c)
		}
		if strings.Contains(p.Header.Get("Location"), c.Value) {
			t.Error("the key is in an address")
		}
	}
}

func TestKeptFormIsForTheRightPerson(t *testing.T) {
	h := open(t)
	alice, mallory := h.browser(), h.browser()
	p := alice.do("POST", "/send", urlencoded, "secret=1", "Referer", h.URL+"/page")
	id := inputTag.FindAllStringSubmatch(p.body, -1)[1][2]
	resend := "/.evergate/resend?form=" + id
	pointer := url.Values{"evergate_form": {id}}

	mallory.signIn("/", "bob")
	h.got()
	mallory.get(resend).want(t, 410, "not kept any more")
	mallory.post("/send", pointer).want(t, 200)
	if got := h.got(); len(got) != 1 || got[0].body != "evergate_form="+id {
		t.Errorf("without the cookie of the browser the app got %+v, want the request as it was", got)
	}

	// The browser that typed it: whoever signs in first is who was typing.
	shown := alice.submit(p, "username", "alice", "password", "alicealice")
	shown.want(t, 200, "Send your form?")
	alice.post("/.evergate/login", url.Values{"username": {"bob"}, "password": {"bobbob"}})
	h.got()
	alice.get(resend).want(t, 410, "not kept any more")
	alice.submit(shown).want(t, 410, "It was not sent")
	if got := h.got(); len(got) != 0 {
		t.Errorf("bob sent what alice typed: %+v", got)
	}
	alice.post("/.evergate/login", url.Values{"username": {"alice"}, "password": {"alicealice"}})
	alice.submit(shown).want(t, 200, "the app: POST /send")
}

func TestKeptFormsOfSeveralTabs(t *testing.T) {
	h := open(t)
	b := h.browser()
	one := b.do("POST", "/one", urlencoded, "n=1")
	two := b.do("POST", "/two", urlencoded, "n=2")
	sendOne := b.submit(one, "username", "alice", "password", "alicealice") // each tab starts a session of its own
	sendTwo := b.submit(two, "username", "alice", "password", "alicealice")
	h.got()
	b.submit(sendTwo).want(t, 200, "the app: POST /two")
	b.submit(sendOne).want(t, 200, "the app: POST /one")
	if got := h.got(); len(got) != 2 || got[0].body != "n=2" || got[1].body != "n=1" {
		t.Errorf("the app got %+v, want both forms", got)
	}
}

func TestKeptFormSurvivesASecondSignIn(t *testing.T) {
	h := open(t)
	b := h.browser()
	p := b.do("POST", "/send", urlencoded, "a=1", "Referer", h.URL+"/page")
	p = b.submit(p, "username", "alice", "password", "alicealice")
	h.sessions.forget()
	p = b.submit(p)
	p.want(t, 200, "<h1>Sign in</h1>", "is kept for 10 minutes")
	p = b.submit(p, "username", "alice", "password", "alicealice")
	p.want(t, 200, "Send your form?")
	h.got()
	b.submit(p).want(t, 200, "the app")
	if got := h.got(); len(got) != 1 || got[0].body != "a=1" {
		t.Errorf("the app got %+v, want the form", got)
	}
}

func TestKeptFormIsOverAfterTenMinutes(t *testing.T) {
	h := open(t)
	b := h.browser()
	p := b.do("POST", "/send", urlencoded, "a=1")
	shown := b.submit(p, "username", "alice", "password", "alicealice")
	shown.want(t, 200, "Send your form?")
	h.advance(10 * time.Minute)
	h.got()
	b.get(shown.at()).want(t, 410, "not kept any more")
	b.submit(shown)
	if got := h.got(); len(got) != 1 || strings.Contains(got[0].body, "a=1") {
		t.Errorf("the app got %+v, want the request as it was: the cookie is over", got)
	}
	late := h.browser()
	p = late.do("POST", "/send", urlencoded, "a=1")
	h.advance(10 * time.Minute)
	p = late.submit(p, "username", "alice", "password", "alicealice")
	p.want(t, 200, "the app")
}

func TestSignOutForgetsForms(t *testing.T) {
	h := open(t)
	b := h.browser()
	shown := b.submit(b.do("POST", "/send", urlencoded, "a=1"), "username", "alice", "password", "alicealice")
	b.submit(b.get("/.evergate/logout"))
	u, _ := url.Parse(h.URL)
	for _, c := range b.c.Jar.Cookies(u) {
		if strings.Contains(c.Name, "-form-") {
			t.Errorf("the cookie %s is still there", c.Name)
		}
	}
	b.signIn("/", "alice")
	b.get(shown.at()).want(t, 410)
}

func TestOneBrowserHasFewFormCookies(t *testing.T) {
	h := open(t)
	b := h.browser()
	for i := range 12 {
		b.do("POST", fmt.Sprintf("/send/%d", i), urlencoded, "a=1")
	}
	u, _ := url.Parse(h.URL)
	if got := len(b.c.Jar.Cookies(u)); got > 8 {
		t.Errorf("got %d cookies, want at most 8", got)
	}
}

func TestRestoreLeavesOtherRequestsAlone(t *testing.T) {
	h := open(t)
	b := h.browser()
	p := b.do("POST", "/send", urlencoded, "kept=1")
	id := inputTag.FindAllStringSubmatch(p.body, -1)[1][2]
	b.submit(p, "username", "alice", "password", "alicealice")
	field := "evergate_form=" + id
	h.got()
	for _, c := range []struct {
		name, method, uri, contentType, body string
		header                               []string
	}{
		{"another address", "POST", "/other", urlencoded, field, nil},
		{"another query", "POST", "/send?x=1", urlencoded, field, nil},
		{"another field behind it", "POST", "/send", urlencoded, field + "&a=1", nil},
		{"another field before it", "POST", "/send", urlencoded, "a=1&" + field, nil},
		{"another name of the same length", "POST", "/send", urlencoded, "evergate-form=" + id, nil},
		{"another id", "POST", "/send", urlencoded, "evergate_form=00000000", nil},
		{"no id", "POST", "/send", urlencoded, "evergate_form=________", nil},
		{"another type", "POST", "/send", "text/plain", field, nil},
		{"another method", "PUT", "/send", urlencoded, field, nil},
		{"another site's", "POST", "/send", urlencoded, field, []string{"Sec-Fetch-Site", "cross-site"}},
		{"a large body", "POST", "/send", urlencoded, strings.Repeat("x", 1<<20), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.do(c.method, c.uri, c.contentType, c.body, c.header...)
			got := h.got()
			want := request{c.method, c.uri, c.contentType, c.body, "alice", int64(len(c.body))}
			if len(got) != 1 || got[0] != want {
				t.Errorf("the app got %.300v, want %.300v", got, want)
			}
		})
	}
	b.post("/send", url.Values{"evergate_form": {id}})
	if got := h.got(); len(got) != 1 || got[0].body != "kept=1" {
		t.Errorf("afterwards the app got %+v, want the kept form", got)
	}
}

func TestRestoreKeepsWhatItCannotRead(t *testing.T) {
	h := open(t)
	b := h.browser()
	p := b.do("POST!", "/send", urlencoded, "a=1")
	id := strings.TrimPrefix(p.Cookies()[0].Name, sessionCookie+"-form-")
	r := httptest.NewRequest("POST", h.URL+"/send", io.MultiReader(strings.NewReader("evergate_form="), iotest.ErrReader(io.ErrClosedPipe)))
	r.ContentLength = int64(len("evergate_form=") + len(id))
	r.Header.Set("Content-Type", urlencoded)
	r.AddCookie(p.Cookies()[0])
	if err := h.handler.Restore(r, &auth.Login{}); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r.Body)
	if string(got) != "evergate_form=" || err != io.ErrClosedPipe {
		t.Errorf("got %q, %v, want what came and the error it ended with", got, err)
	}
	if err := h.handler.Restore(r, nil); err != nil {
		t.Errorf("nobody signed in: got %v, want nothing done", err)
	}
}

func TestFormsAreBounded(t *testing.T) {
	clock := noon
	now := func() time.Time { return clock }
	post := func(h *auth.Handler, addr string, body []byte) []*http.Cookie {
		r := httptest.NewRequest("POST", "http://gw.test/send", bytes.NewReader(body))
		for name, value := range map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", "Content-Type": urlencoded} {
			r.Header.Set(name, value)
		}
		r = r.WithContext(web.WithNote(r.Context(), &web.Note{Client: netip.MustParseAddr(addr)}))
		w := httptest.NewRecorder()
		if err := h.Challenge(w, r, nil); err != nil {
			t.Fatal(err)
		}
		return w.Result().Cookies()
	}
	for _, c := range []struct {
		name     string
		body     int
		addr     func(i int) string
		sent     int
		min, max int
	}{
		{"one address has 16", 10, func(int) string { return "192.0.2.1" }, 40, 16, 16},
		{"one IPv6 subscriber is one address", 10, func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) }, 40, 16, 16},
		{"many addresses have 64 MiB", 64 << 10, func(i int) string { return fmt.Sprintf("192.0.%d.%d", i/250, i%250+1) }, 1100, 1000, 1024},
	} {
		t.Run(c.name, func(t *testing.T) {
			forms := auth.NewForms(now)
			defer forms.Close()
			h, err := auth.NewHandler(auth.HandlerConfig{Sessions: &sessions{}, Sealer: newSealer(now), CookiePrefix: "c", Forms: forms, Now: now,
				PublicURL: &url.URL{Scheme: "https", Host: "gw.test"}})
			if err != nil {
				t.Fatal(err)
			}
			var cookies []*http.Cookie
			body := bytes.Repeat([]byte("x"), c.body)
			for i := range c.sent {
				cookies = append(cookies, post(h, c.addr(i), body)...)
			}
			if len(cookies) != c.sent {
				t.Fatalf("got %d cookies, want %d", len(cookies), c.sent)
			}
			if n := auth.KeptForms(forms); n < c.min || n > c.max {
				t.Errorf("got %d forms, want %d to %d", n, c.min, c.max)
			}
			for i, want := range map[int]bool{0: false, c.sent - 1: true} {
				r := httptest.NewRequest("POST", "http://gw.test/send", strings.NewReader("evergate_form="+cookies[i].Name[len("c-form-"):]))
				r.Header.Set("Content-Type", urlencoded)
				r.AddCookie(cookies[i])
				if got := h.Restore(r, &auth.Login{}) == nil && r.ContentLength == int64(c.body); got != want {
					t.Errorf("form %d of %d is kept: got %v, want %v (the oldest go first)", i+1, c.sent, got, want)
				}
			}
		})
	}
}

func TestFormsGoByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forms := auth.NewForms(nil)
		for range 3 {
			auth.Keep(t, forms)
			time.Sleep(time.Minute)
		}
		if got := auth.KeptForms(forms); got != 3 {
			t.Fatalf("got %d forms, want 3", got)
		}
		time.Sleep(8*time.Minute + time.Second) // nobody comes
		synctest.Wait()
		if got := auth.KeptForms(forms); got != 1 {
			t.Errorf("got %d forms after 11 minutes, want the last one", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := auth.KeptForms(forms); got != 0 {
			t.Errorf("got %d forms after 13 minutes, want none", got)
		}
		auth.Keep(t, forms)
		if err := forms.Close(); err != nil || auth.KeptForms(forms) != 0 {
			t.Errorf("Close: got %v and %d forms, want none", err, auth.KeptForms(forms))
		}
	})
}
