package proxy_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// oldApp is an app with users of its own: a form with a token against forgery, which
// belongs to a cookie, and a new session id at each sign-in.
type oldApp struct {
	*httptest.Server
	prefix  string // of the addresses that it writes
	action  string // of its form, "" is right
	inPage  bool   // it shows the form in place of any page
	refuses int    // what it answers who is not signed in, 0 is a redirect

	mu       sync.Mutex // guards what follows
	password string
	sessions map[string]string // user by session id; "" is not signed in
	posts    int               // of the form
	gone     []string          // who signed out
	seen     []*http.Request   // other requests
}

func newOldApp(t *testing.T, change func(*oldApp)) *oldApp {
	a := &oldApp{password: "right", sessions: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", a.form)
	mux.HandleFunc("POST /login", a.signIn)
	mux.HandleFunc("GET /logout", a.signOut)
	mux.HandleFunc("/ws", a.socket)
	mux.HandleFunc("/", a.page)
	a.Server = httptest.NewUnstartedServer(mux)
	if change != nil {
		change(a)
	}
	a.Start()
	t.Cleanup(a.Close)
	return a
}

func (a *oldApp) session(r *http.Request) (id, user string, ok bool) {
	c, err := r.Cookie("APPSESSID")
	if err != nil {
		return "", "", false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	user, ok = a.sessions[c.Value]
	return c.Value, user, ok
}

func (a *oldApp) begin(w http.ResponseWriter, user string) string {
	id := rand.Text()
	a.mu.Lock()
	a.sessions[id] = user
	a.mu.Unlock()
	w.Header().Add("Set-Cookie", "APPSESSID="+id+"; Path="+a.prefix+"/; HttpOnly")
	w.Header().Add("Set-Cookie", "theme=dark; Path="+a.prefix+"/")
	return id
}

func (a *oldApp) form(w http.ResponseWriter, r *http.Request) {
	id, _, ok := a.session(r)
	if !ok {
		id = a.begin(w, "")
	}
	action := a.prefix + "/login"
	if a.action != "" {
		action = a.action
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!doctype html><title>Sign in</title><form action="/search"><input name=q></form>
<form method=POST action="%s"><input type=hidden name=token value="t-%s"><input name=who><input type=password name=pass>
<select name=lang><option value=en><option value=de selected></select><button name=go value=1>Go</button></form>`, action, id)
}

func (a *oldApp) signIn(w http.ResponseWriter, r *http.Request) {
	id, _, ok := a.session(r)
	a.mu.Lock()
	a.posts++
	right := r.PostFormValue("pass") == a.password
	delete(a.sessions, id)
	a.mu.Unlock()
	origin := r.Header.Get("X-Forwarded-Proto") + "://" + r.Host
	if !ok || r.PostFormValue("token") != "t-"+id || r.PostFormValue("lang") != "de" || r.PostFormValue("go") != "1" ||
		r.PostFormValue("extra") != "yes" || r.Header.Get("Origin") != origin || !strings.HasPrefix(r.Referer(), origin) {
		http.Error(w, "forged", http.StatusForbidden)
		return
	}
	if !right {
		a.form(w, r)
		return
	}
	a.begin(w, r.PostFormValue("who"))
	http.Redirect(w, r, a.prefix+"/home", http.StatusSeeOther)
}

func (a *oldApp) signOut(w http.ResponseWriter, r *http.Request) {
	id, user, _ := a.session(r)
	a.mu.Lock()
	a.gone = append(a.gone, user)
	delete(a.sessions, id)
	a.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "APPSESSID", Path: a.prefix + "/", MaxAge: -1})
	fmt.Fprint(w, "bye")
}

func (a *oldApp) page(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.seen = append(a.seen, r)
	a.mu.Unlock()
	_, user, _ := a.session(r)
	switch {
	case user != "":
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s for %s %s", r.Method, r.URL.Path, user, body)
	case a.inPage:
		a.form(w, r)
	case a.refuses != 0:
		w.WriteHeader(a.refuses)
	default:
		http.Redirect(w, r, a.prefix+"/login?from="+r.URL.Path, http.StatusFound)
	}
}

func (a *oldApp) socket(w http.ResponseWriter, r *http.Request) {
	_, user, _ := a.session(r)
	if user == "" {
		http.Error(w, "who?", http.StatusUnauthorized)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err == nil {
		_ = conn.Write(r.Context(), websocket.MessageText, []byte("hello "+user))
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}
}

// restart forgets who is signed in.
func (a *oldApp) restart() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.sessions)
}

// counts are how often the form was sent, and who signed out.
func (a *oldApp) counts() (posts int, gone []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.posts, slices.Clone(a.gone)
}

// lastSeen is the last request for a page.
func (a *oldApp) lastSeen() *http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen[len(a.seen)-1]
}
