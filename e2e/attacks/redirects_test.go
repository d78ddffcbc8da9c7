package attacks

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func init() { sections = append(sections, redirects) }

// redirectsUser is alice with the lightest hash that the gateway takes: her password is
// that of the others, and she signs in with every address of the section.
const redirectsUser = `users:
  alice:
    password: "$argon2id$v=19$m=19456,t=2,p=1$cmVkaXJlY3RzLXNhbHQtMA$JRPma4XzvbGRsVh/QUhtFiwn2P9k3QAhuLFwvmYaePI"
    email: alice@example.com
    groups: [staff]
`

// redirectsFront is the address at which a proxy in front asks.
var redirectsFront string

func TestRedirects(t *testing.T) {
	t.Parallel()
	redirectsFront = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	redirects.try(t, newLab(t, setup{
		files: map[string]string{"users.yaml": redirectsUser},
		routes: usualRoutes + `  - { match: { path: /moved/ }, public: true, redirect: { to: "/{rest}", status: 302, keep_query: true } }
  - { match: { path: /moved/odd/ }, public: true, path_chars: [encoded_slash, semicolon, double_slash], redirect: { to: "/{rest}", keep_query: true } }
`,
		more: fmt.Sprintf("trusted_proxies: [127.0.0.1]\nforward_auth: { listen: %q, dialect: traefik }\n", redirectsFront),
	}))
}

const (
	redirectsNowhere = "no answer leads away: not from the sign-in, the way back from another host, the sign-out, the pages themselves, a redirect of a route, or forward auth"
	redirectsHome    = "it leads to the start page, or to a page of this host"
)

// redirects are return targets that lead elsewhere, or might to some browser. Each is tried
// at every place that takes one.
var redirects = &section{name: "Return targets that lead away", test: "TestRedirects", attacks: []attack{
	{"OR-01", "high", "`https://evil.com`", redirectsNowhere, redirectsAway("https://evil.com", "http://evil.com/x")},
	{"OR-02", "high", "`//evil.com`", redirectsNowhere, redirectsAway("//evil.com")},
	{"OR-03", "high", "`///evil.com`", redirectsNowhere, redirectsAway("///evil.com")},
	{"OR-04", "high", "`////evil.com/%2e%2e`", redirectsNowhere, redirectsAway("////evil.com/%2e%2e")},
	{"OR-05", "high", "`/\\evil.com`", redirectsNowhere, redirectsAway(`/\evil.com`, `/%5cevil.com`)},
	{"OR-06", "high", "`\\\\evil.com`", redirectsNowhere, redirectsAway(`\\evil.com`)},
	{"OR-07", "high", "`\\/evil.com`", redirectsNowhere, redirectsAway(`\/evil.com`)},
	{"OR-08", "high", "a slash, a bare tab or line break, and `/evil.com`", redirectsNowhere, redirectsAway("/\t/evil.com", "/\r\n/evil.com")},
	{"OR-10", "high", "`/%09/evil.com`", redirectsHome, redirectsAway("/%09/evil.com", "/%0d%0a/evil.com", "/%0d%0aLocation:%20//evil.com")},
	{"OR-12", "high", "`/%2f%2fevil.com`", redirectsHome, redirectsAway("/%2f%2fevil.com", "/%252f%252fevil.com", "/%2fevil.com")},
	{"OR-13", "high", "`/./\\evil.com`", redirectsNowhere, redirectsAway(`/./\evil.com`)},
	{"OR-14", "high", "`/..//evil.com`", redirectsNowhere, redirectsAway("/..//evil.com", "/%2e%2e//evil.com")},
	{"OR-15", "high", "`/.//evil.com`", redirectsNowhere, redirectsAway("/.//evil.com")},
	{"OR-16", "high", "`/;@evil.com`", redirectsHome, redirectsAway("/;@evil.com")},
	{"OR-20", "high", "`https:/evil.com`", redirectsNowhere, redirectsAway("https:/evil.com", "https:evil.com", "http:/evil.com")},
	{"OR-21", "high", "`https:///evil.com`", redirectsNowhere, redirectsAway("https:///evil.com")},
	{"OR-22", "high", "`http:\\\\evil.com`", redirectsNowhere, redirectsAway(`http:\\evil.com`)},
	{"OR-23", "high", "`HtTpS://evil.com`", redirectsNowhere, redirectsAway("HtTpS://evil.com")},
	{"OR-24", "high", "` https://evil.com`: behind a space, a no-break space, a byte order mark", redirectsNowhere,
		redirectsAway(" https://evil.com", "\u00a0https://evil.com", "\ufeff//evil.com", "\x01//evil.com")},
	{"OR-25", "high", "`https://gw.test@evil.com`", redirectsNowhere, redirectsAway("https://gw.test@evil.com")},
	{"OR-26", "high", "`https://gw.test:443@evil.com`", redirectsNowhere, redirectsAway("https://gw.test:443@evil.com")},
	{"OR-27", "high", "`https://gw.test%2f@evil.com`", redirectsNowhere, redirectsAway("https://gw.test%2f@evil.com")},
	{"OR-28", "high", "`https://gw.test\\@evil.com`", redirectsNowhere, redirectsAway(`https://gw.test\@evil.com`)},
	{"OR-29", "high", "`https://evil.com\\.gw.test`", redirectsNowhere, redirectsAway(`https://evil.com\.gw.test`)},
	{"OR-31", "high", "`https://evil.com?.gw.test`", redirectsNowhere, redirectsAway("https://evil.com?.gw.test", "https://evil.com#.gw.test")},
	{"OR-32", "high", "`https://evil.com/.gw.test`", redirectsNowhere, redirectsAway("https://evil.com/.gw.test")},
	{"OR-33", "high", "`https://gw.test.evil.com`", redirectsNowhere, redirectsAway("https://gw.test.evil.com")},
	{"OR-34", "high", "`https://evilgw.test`", redirectsNowhere, redirectsAway("https://evilgw.test")},
	{"OR-37", "high", "`https://gw。test`, `https://evil。com`: an ideographic full stop", redirectsNowhere, redirectsAway("https://gw。test", "https://evil。com", "//evil。com")},
	{"OR-38", "high", "`https://ⓔvil.com`", redirectsNowhere, redirectsAway("https://ⓔvil.com")},
	{"OR-39", "high", "`https://[::ffff:6.6.6.6]`, `http://0x08080808`, `http://00330.072.0326.0316`", redirectsNowhere,
		redirectsAway("https://[::ffff:6.6.6.6]", "http://0x08080808", "http://00330.072.0326.0316", "//134744072")},
	{"OR-40", "high", "`javascript:alert(1)`", redirectsNowhere, redirectsAway("javascript:alert(1)", "javascript://gw.test/%0aalert(1)")},
	{"OR-41", "high", "`JaVa\\nScRiPt:`, `java%0d%0ascript:`", redirectsNowhere, redirectsAway("JaVa\nScRiPt:alert(1)", "java%0d%0ascript:alert(1)")},
	{"OR-42", "high", "`data:text/html,…`", redirectsNowhere, redirectsAway("data:text/html,<script>alert(1)</script>")},
	{"OR-43", "high", "`https://gw.test:99999`, `https://gw.test:8443`: another port", "no return target leads there; forward auth answers for the port that the browser told the proxy in front, which no page can choose", redirectsAway("https://gw.test:99999", "https://gw.test:8443", "//gw.test:8443/x")},
	{"OR-46", "high", "`/app?next=//evil.com`", "it leads to that page of this host, and what is behind the `?` is as it was", func(t *testing.T, l *lab) {
		const rd = "/app?next=//evil.com"
		w := redirectsTry(t, l, rd)
		for at, to := range w.came {
			if !strings.HasPrefix(at, "route") && to != rd {
				t.Errorf("%s: it came back to %q, want %q", at, to, rd)
			}
		}
		l.saw(w.traces)
	}},
	{"OR-47", "high", "`rd` twice, `rd[]=`, 8 kB of it, and in the form beside the query", "what is not there once is not there: it leads to the start page", redirectsOdd},
	{"OR-48", "high", "another name of one of our hosts: `xn--…`, with a full stop at its end, in capitals", redirectsNowhere,
		redirectsAway("https://xn--gw-test", "https://gw.test./x", "//gw.test.", "https://xn--gw-.test", "https://GW.TEST@evil.com")},
}}

// redirectsAway tries return targets everywhere.
func redirectsAway(targets ...string) func(*testing.T, *lab) {
	return func(t *testing.T, l *lab) {
		var all traces
		for _, rd := range targets {
			w := redirectsTry(t, l, rd)
			all.app, all.sessions, all.events = all.app+w.app, all.sessions+w.sessions, append(all.events, w.events...)
		}
		l.saw(all)
	}
}

// redirectsWay is what came of one return target.
type redirectsWay struct {
	t *testing.T
	l *lab
	traces
	rd   string
	came map[string]string // where the way ends, by its beginning
}

// judge fails the case if an answer to a request for a page of host leads elsewhere: by
// its Location, a target in that, or anything that its page links to.
func (w *redirectsWay) judge(at, host string, r *reply) {
	w.t.Helper()
	base := "https://" + host + "/.evergate/x"
	leads := []string{}
	if to, ok := r.Header["Location"]; ok {
		leads = append(leads, to...)
		if u, err := url.Parse(to[0]); err == nil {
			leads = append(leads, u.Query()["rd"]...)
		}
	}
	for _, m := range redirectsLinks.FindAllStringSubmatch(r.body, -1) {
		lead := html.UnescapeString(m[1] + m[2])
		leads = append(leads, lead)
		if u, err := url.Parse(lead); err == nil {
			leads = append(leads, u.Query()["rd"]...)
		}
	}
	if refresh := r.Header.Get("Refresh"); refresh != "" {
		_, to, _ := strings.Cut(refresh, "url=")
		leads = append(leads, to)
	}
	ours := []string{"https://" + host, "https://" + w.l.host, "https://" + strings.Replace(w.l.host, gatewayHost, otherHost, 1)}
	for _, lead := range leads {
		if to := redirectsTo(base, lead); !slices.Contains(ours, to) {
			w.t.Errorf("%s with %q: it leads to %s, by %q", at, w.rd, to, lead)
		}
	}
}

// redirectsLinks finds what a page leads to: links, forms, and the targets in those.
var redirectsLinks = regexp.MustCompile(`(?:href|src|action)="([^"]*)"|name="rd" value="([^"]*)"`)

// ends notes where a way ends, which is where a browser is then.
func (w *redirectsWay) ends(at string, r *reply, status ...int) {
	w.t.Helper()
	r.status(w.t, status...)
	w.came[at] = r.Header.Get("Location")
}

// redirectsTry sends a return target to each place that takes one.
func redirectsTry(t *testing.T, l *lab, rd string) *redirectsWay {
	t.Helper()
	w := &redirectsWay{t: t, l: l, rd: rd, came: map[string]string{}}
	query := "rd=" + url.QueryEscape(rd)

	// A sign-in that succeeds, by the field of the form: on to the page that looks for
	// the cookie, and from there to the target.
	form := url.Values{"username": {"alice"}, "password": {password}, "rd": {rd}}.Encode()
	in := l.post("/.evergate/login", form, "Origin: https://"+l.host)
	in.status(t, http.StatusSeeOther)
	w.judge("sign-in", l.host, in)
	cookie := l.cookiesOf(in)
	w.sessions, w.events = 1, []string{"session.started"}
	w.ends("sign-in", w.get("landed", l.host, in.Header.Get("Location"), cookie), http.StatusSeeOther)

	person := []string{cookie, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html"}
	for _, page := range []string{"login", "landed", "rotate"} { // for somebody who is signed in
		w.ends(page, w.get(page, l.host, "/.evergate/"+page+"?"+query, person...), http.StatusSeeOther)
	}
	for _, page := range []string{"login", "logout", "resend"} { // for nobody, and what their pages lead to
		w.get(page+" by nobody", l.host, "/.evergate/"+page+"?"+query, person[1:]...)
	}
	w.get("logout, asked", l.host, "/.evergate/logout?"+query, person...)
	for at, out := range map[string]*reply{
		"logout by the query": l.post("/.evergate/logout?"+query, "", "Origin: https://"+l.host),
		"logout by the form":  l.post("/.evergate/logout", query, "Origin: https://"+l.host),
	} {
		w.judge(at, l.host, out)
		if to, ok := out.Header["Location"]; ok {
			w.came[at] = to[0]
		}
	}
	w.elsewhere(query, cookie)
	w.inHeaders(cookie)
	return w
}

// get asks for a page and judges the answer.
func (w *redirectsWay) get(at, host, target string, lines ...string) *reply {
	w.t.Helper()
	raw := strings.Replace(w.l.request("GET", target, lines...), "Host: "+w.l.host, "Host: "+host, 1)
	r := w.l.one(raw)
	w.judge(at, host, r)
	return r
}

// elsewhere takes the target along from an app's own host to the first one and back, in
// what is sealed on the way.
func (w *redirectsWay) elsewhere(query, cookie string) {
	w.t.Helper()
	other := strings.Replace(w.l.host, gatewayHost, otherHost, 1)
	navigates := []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
	r := w.get("sign-in of another host", other, "/.evergate/login?"+query, navigates...)
	r.status(w.t, http.StatusSeeOther)
	kept := w.l.cookiesOf(r)
	r = w.get("sign-in for another host", w.l.host, strings.TrimPrefix(r.Header.Get("Location"), "https://"+w.l.host), append(navigates, cookie)...)
	r.status(w.t, http.StatusSeeOther)
	r = w.get("arrival", other, strings.TrimPrefix(r.Header.Get("Location"), "https://"+other), append(navigates, kept)...)
	for range 3 { // the page that looks for the cookie may be on the way
		if to := r.Header.Get("Location"); strings.HasPrefix(to, "/.evergate/") {
			r = w.get("arrival, further", other, to, append(navigates, w.l.cookiesOf(r))...)
		}
	}
	w.ends("arrival", r, http.StatusSeeOther)
	w.events = append(w.events, "session.handed_over")
	r = w.get("sign-out of another host", other, "/.evergate/logout?"+query, navigates...)
	w.get("sign-out for another host", w.l.host, strings.TrimPrefix(r.Header.Get("Location"), "https://"+w.l.host), navigates...)
}

// inHeaders has the target in headers that an address is made of, and in an address itself.
func (w *redirectsWay) inHeaders(cookie string) {
	w.t.Helper()
	rd := w.rd
	if strings.ContainsAny(rd, "\r\n\x01") {
		return // no header can hold it
	}
	r := w.l.post("/x", "a=b", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Referer: https://"+w.l.host+rd)
	w.judge("the page that a form came from", w.l.host, r)
	r = w.l.get("/x", "Accept: application/json", "Referer: "+rd)
	w.judge("the page that a script came from", w.l.host, r)
	if strings.Contains(r.body, "evil") {
		w.t.Errorf("the answer to a script repeats %q: %s", rd, r.body)
	}
	if !strings.ContainsAny(rd, " \t") {
		w.get("route", w.l.host, "/moved"+rd)
		w.get("route, without its slash", w.l.host, "/moved/"+rd)
		w.get("route that takes odd paths", w.l.host, "/moved/odd"+rd)
		w.get("route that takes odd paths, without its slash", w.l.host, "/moved/odd/"+rd)
	}
	_, host, _ := strings.Cut(rd, "://")
	for _, ask := range [][2]string{{w.l.host, rd}, {rd, "/x"}, {host, "/x"}, {w.l.host + rd, "/x"}, {strings.TrimLeft(rd, `/\`), "/"}} {
		w.front(cookie, "https", ask[0], ask[1])
	}
	w.front(cookie, rd, w.l.host, "/x")
}

// front asks as a proxy in front does: about a request for a page, by somebody who is not
// signed in.
func (w *redirectsWay) front(cookie, scheme, host, uri string) {
	w.t.Helper()
	req, err := http.NewRequest("GET", "http://"+redirectsFront+"/.evergate/auth", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, value := range map[string]string{"X-Forwarded-Method": "GET", "X-Forwarded-Proto": scheme, "X-Forwarded-Host": host, "X-Forwarded-Uri": uri,
		"X-Forwarded-For": "192.0.2.1", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"} {
		req.Header[name] = []string{value}
	}
	res, err := redirectsAsks.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		w.t.Errorf("forward auth lets %q at %q pass, by nobody", uri, host)
	}
	at := w.l.host
	if strings.HasPrefix(host, gatewayHost+":") {
		at = host // it answers for the port that the browser is at, as a browser says in Host
	}
	w.judge("forward auth", at, &reply{res, ""})
}

var redirectsAsks = &http.Transport{MaxIdleConnsPerHost: 1}

// redirectsOdd are return targets that are there more than once, or much too long.
func redirectsOdd(t *testing.T, l *lab) {
	in := l.post("/.evergate/login", url.Values{"username": {"alice"}, "password": {password}, "rd": {"/fine", "//evil.com"}}.Encode(), "Origin: https://"+l.host)
	in.status(t, http.StatusSeeOther)
	cookie := l.cookiesOf(in)
	w := &redirectsWay{t: t, l: l, rd: "twice", came: map[string]string{}}
	w.judge("sign-in", l.host, in)
	w.ends("sign-in", w.get("landed", l.host, in.Header.Get("Location"), cookie), http.StatusSeeOther)
	for _, query := range []string{"rd=/fine&rd=//evil.com", "rd=//evil.com&rd=/fine", "rd[]=//evil.com", "rd%5b%5d=//evil.com", "RD=//evil.com", "rd=/" + strings.Repeat("a", 8<<10), "rd=%2", "rd=/x;rd=//evil.com"} {
		for _, page := range []string{"login", "landed", "rotate"} {
			at := page + " " + query[:min(20, len(query))]
			w.ends(at, w.get(at, l.host, "/.evergate/"+page+"?"+query, cookie, "Sec-Fetch-Mode: navigate"), http.StatusSeeOther)
		}
		w.get("logout", l.host, "/.evergate/logout?"+query, cookie)
		w.judge("logout by the form", l.host, l.post("/.evergate/logout?rd=//evil.com", query, "Origin: https://"+l.host))
	}
	for at, to := range w.came {
		if to != "/" {
			t.Errorf("%s: it came back to %q, want /", at, to)
		}
	}
	l.saw(traces{sessions: 1, events: []string{"session.started"}})
}
