package auth

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// maxUser bounds a user name that the page shows again.
const maxUser = 256

// loginPage shows the form, or goes straight on where somebody is signed in.
func (h *Handler) loginPage(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	v := h.loginView(r, goalOf(query))
	v.Why = endings[one(query, "why")]
	if v.Lost == "" {
		v.Lost = losses[one(query, "lost")]
	}
	if done, err := h.already(w, r, &v); done || err != nil {
		return err
	}
	web.NoteOf(r.Context()).Decision = "login"
	if v.Further != nil {
		return h.signInFurther(w, r, v)
	}
	if p := h.onlyProvider(); p != nil && v.Why == "" && v.Lost == "" {
		return h.straightOn(w, r, p, v)
	}
	return h.showLogin(w, r, http.StatusOK, v)
}

// onlyProvider is the one way there is to sign in, if it is a provider.
func (h *Handler) onlyProvider() *Provider {
	if h.cfg.Password == nil && len(h.cfg.Providers) == 1 {
		return &h.cfg.Providers[0]
	}
	return nil
}

// straightOn goes to the only provider there is. A browser is shown a page on the
// way: its script alone sees what is after the "#" of the address that was
// wanted. Without script the page goes on as well, a moment later.
func (h *Handler) straightOn(w http.ResponseWriter, r *http.Request, p *Provider, v loginView) error {
	way := p.way(&v)
	if r.Header.Get("Sec-Fetch-Mode") == "" {
		return redirect(w, http.StatusSeeOther, way.URL)
	}
	return h.pages["straight"].Write(w, r, http.StatusOK, web.Page{
		Title: "Sign in", Data: way,
		Script: scriptURL, Header: http.Header{"Refresh": {"1; url=" + way.URL}},
	})
}

// signIn takes the form.
func (h *Handler) signIn(w http.ResponseWriter, r *http.Request) error {
	if h.cfg.Password == nil {
		return h.showLogin(w, r, http.StatusServiceUnavailable, h.loginView(r, goal{}))
	}
	values, err := readForm(w, r)
	if err != nil {
		return err
	}
	v := h.loginView(r, goalOf(values))
	v.User, v.Remember = shown(one(values, "username")), values.Get("remember") != ""
	if answer := one(values, "passkey"); answer != "" && h.passkeys(r) != nil {
		return h.signInByPasskey(w, r, v, answer)
	}
	login, err := h.cfg.Password.Login(r.Context(), h.asker(r), one(values, "username"), one(values, "password"))
	if err == nil {
		var answered bool
		if answered, err = h.provenByPassword(w, r, login, v.goal, v.Remember); answered {
			return err
		}
	}
	return h.refuse(w, r, v, err)
}

// provenByPassword goes on with somebody who has shown by a password who they are: to what else is
// asked of them, or to where they go. Where answered is false nobody was signed in, and the error
// says why.
func (h *Handler) provenByPassword(w http.ResponseWriter, r *http.Request, login *Login, g goal, remember bool) (answered bool, err error) {
	if f := h.cfg.Factors; f != nil {
		e, err := f.Credentials.Enrolled(r.Context(), login.Identity.Subject)
		if err != nil {
			return false, err
		}
		if h.needsMore(&e, &g.Demand) {
			return true, h.goHalfway(w, r, login, g, remember)
		}
	}
	if err := h.beginSession(w, r, login, remember); err != nil {
		return false, err
	}
	return true, h.begun(w, r, login, g)
}

// beginSession begins the session of somebody whom the gateway itself has signed in, by whatever
// they proved who they are with.
func (h *Handler) beginSession(w http.ResponseWriter, r *http.Request, login *Login, remember bool) error {
	from := h.asker(r)
	if err := h.cfg.Sessions.Begin(w.Header(), h.meets(r, from.Browser, login), login, remember); err != nil {
		return err
	}
	h.know(w, r, from.Browser, login)
	return nil
}

// begun goes on with somebody whose session was just begun.
func (h *Handler) begun(w http.ResponseWriter, r *http.Request, login *Login, g goal) error {
	if !g.Demand.MetBy(login, h.cfg.Now()) {
		return h.insufficient(r, nil, login, &g)
	}
	return signedIn(w, r, login, g)
}

// signedIn ends a sign-in, of whatever kind, at the page that looks whether the
// cookie came back.
func signedIn(w http.ResponseWriter, r *http.Request, login *Login, g goal) error {
	n := web.NoteOf(r.Context())
	n.Decision, n.Subject = "signed-in", login.Identity.User
	return redirect(w, http.StatusSeeOther, g.at("landed"))
}

// refuse shows the form again. Its words are the same for a wrong name and a
// wrong password.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, v loginView, err error) error {
	n := web.NoteOf(r.Context())
	n.Err = err
	if !v.Demand.IsZero() { // it may be a further sign-in, and the page goes on to say so
		if login, err := h.who(w, r); err == nil {
			v.Further = login
		}
	}
	if t, ok := errors.AsType[*Throttled](err); ok {
		v.Alert = throttled(w, n, t)
		return h.showLogin(w, r, http.StatusTooManyRequests, v)
	}
	if _, ok := errors.AsType[*Refused](err); ok {
		n.Decision = "refused"
		v.Alert, v.Invalid = web.T("The user name and the password do not match. Check both and try again."), true
		// A 401 must name a challenge (RFC 9110 section 15.5.2); browsers know no
		// dialog for this one and show the page.
		w.Header().Set("Www-Authenticate", `Bearer realm="evergate"`)
		return h.showLogin(w, r, http.StatusUnauthorized, v)
	}
	if u, ok := errors.AsType[*Unavailable](err); ok {
		h.notSignedIn(r, passwordProvider, nil, event.Unavailable, u)
		outOfOrder(w, n, u)
		v.Alert = web.T("You are not signed in: {what} is out of order for the moment. Nothing is wrong with your password. Try again shortly.", "what", u.What)
		return h.showLogin(w, r, http.StatusServiceUnavailable, v)
	}
	return err
}

func seconds(n int) web.Text { return web.T("{count} seconds", "count", n) }

// outOfOrder has an answer say when to try again.
func outOfOrder(w http.ResponseWriter, n *web.Note, u *Unavailable) {
	n.Decision = "unavailable"
	w.Header().Set("Retry-After", fmt.Sprint(int(math.Ceil(max(u.RetryAfter, time.Second).Seconds()))))
}

// throttled has an answer say when the next attempt is looked at, and returns it in words.
func throttled(w http.ResponseWriter, n *web.Note, t *Throttled) web.Text {
	n.Decision = "throttled"
	wait := max(int(math.Ceil(t.RetryAfter.Seconds())), 1)
	w.Header().Set("Retry-After", fmt.Sprint(wait))
	return web.T("Too many attempts failed lately. Wait {wait}, then try again.", "wait", seconds(wait))
}

func (h *Handler) showLogin(w http.ResponseWriter, r *http.Request, status int, v loginView) error {
	title := web.Message("Sign in")
	if v.Why != "" {
		title = "Sign in again"
	}
	if !v.Alert.IsZero() {
		title = "Error: Sign in"
	}
	v.Password = h.cfg.Password != nil && (len(h.cfg.Providers) == 0 || h.cfg.Factors.localCanMeet(&v.Demand))
	policy := h.formPolicy() + web.ScriptPolicy
	if v.Passkey = v.Password && h.passkeys(r) != nil && h.cfg.Factors.aloneMeets(&v.Demand); v.Passkey {
		policy += connectPolicy
	}
	for i := range h.cfg.Providers {
		v.Providers = append(v.Providers, h.cfg.Providers[i].way(&v))
	}
	if !v.Password && v.Providers == nil {
		status = http.StatusServiceUnavailable
	}
	return h.pages["login"].Write(w, r, status, web.Page{Title: title, Data: v, Script: scriptURL,
		Header: http.Header{"Content-Security-Policy": {policy}}})
}

// loginView begins the view of the sign-in page from what the browser says; the
// id of a form counts only while the form is kept for this very browser, and an errand
// only if this gateway sealed it.
func (h *Handler) loginView(r *http.Request, g goal) loginView {
	form := g.Form
	v := loginView{goal: goal{RD: ReturnTo(g.RD), Demand: g.Demand}, Host: r.Host}
	if e := h.asked(r, g.To); e != nil {
		v.To, v.Host, v.Kept, v.Demand = g.To, e.Host, e.Kept, e.Demand
		if path, _, _ := strings.Cut(e.RD, "?"); path != "/" {
			v.Path = path
		}
		return v
	}
	if path, _, _ := strings.Cut(v.RD, "?"); path != "/" {
		v.Path = path
	}
	if key := h.formKey(r, form); key != nil && h.isKept(r.Context(), form, key) {
		v.Form, v.Kept = form, true
	}
	if form != "" && v.Form == "" {
		v.Lost = losses[lostOver]
	}
	return v
}

// shown is a user name as the page may repeat it.
func shown(user string) string {
	if len(user) > maxUser || !utf8.ValidString(user) || strings.ContainsFunc(user, unicode.IsControl) {
		return ""
	}
	return user
}

// landed is where a sign-in ends: if the cookie came back, the browser goes on,
// and if it did not, a page says why that may be. It never sends anybody back
// to sign in by itself, so there is no loop.
func (h *Handler) landed(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	v := h.loginView(r, goalOf(query))
	_, err := h.who(w, r)
	if err == nil {
		if h.cfg.DeviceKeys != nil {
			h.cfg.DeviceKeys.Offer(w.Header(), r)
		}
		return redirect(w, http.StatusSeeOther, v.next())
	}
	absent, ok := errors.AsType[*Absent](err)
	if !ok {
		return err
	}
	n := web.NoteOf(r.Context())
	n.Decision, n.Err = "lost-cookie", absent
	h.notSignedIn(r, "", nil, event.CookieLost, absent)
	return h.pages["landed"].Write(w, r, http.StatusBadRequest, web.Page{Title: "Error: The sign-in did not stick", Data: landedView{
		Causes: h.causes(r, absent), LoginURL: v.at("login"),
	}})
}

// causes names what may have kept the cookie from coming back, the likeliest first.
func (h *Handler) causes(r *http.Request, absent *Absent) []web.Text {
	public, scheme := h.cfg.PublicURL, h.scheme(r)
	var causes []web.Text
	switch absent.Reason {
	case NoCookie:
	case Duplicate:
		causes = append(causes, web.T("Your browser sent the sign-in cookie more than once. All of them have been deleted now, so trying again will probably work."))
	case Damaged:
		causes = append(causes, web.T("The sign-in cookie came back, but this gateway cannot open it. It has been deleted. If it happens again, several gateways may be answering with different keys."))
	default:
		causes = append(causes, web.T("The sign-in cookie came back, but it belongs to a sign-in that is over. {why}", "why", endings[absent.Reason]))
	}
	if scheme != public.Scheme {
		causes = append(causes, web.T("Your request reached the gateway by {scheme}, but it is set up for {wanted}://. Open {url} instead. If the address in your browser does begin with {wanted}://, the proxy in front of the gateway has to say so in X-Forwarded-Proto and be listed in trusted_proxies.",
			"scheme", scheme, "wanted", public.Scheme, "url", public.String()))
	}
	if !strings.EqualFold(r.Host, public.Host) && !h.isAppHost(r) {
		causes = append(causes, web.T("You are at {host}, but the gateway's public_url is {url}. If your browser left the host on the way, the cookie stayed behind.",
			"host", r.Host, "url", public.String()))
	}
	if absent.Reason == NoCookie {
		causes = append(causes, web.T("Your browser does not keep cookies for this site: they are blocked in its settings, by an extension, or in a private window."))
		causes = append(causes, web.T("The clock of your device is wrong, so that the cookie was over before it began. Its date should be {date}.", "date", h.cfg.Now()))
	}
	return causes
}
