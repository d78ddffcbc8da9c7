package oauth2proxy

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// upstream is where requests for a path go.
type upstream struct {
	order, line, file int
	setting           *setting // nil in an alpha configuration
	path, uri         string
	static            bool
	code              string
	insecure, ownHost bool
	timeout, rewrite  string
}

// route is one of Evergate's.
type route struct {
	path    string
	methods []string // nil is all of them
	public  bool
	by      *route // the guarded one that a public one is made of
	order   int
	above   []string // comments of the source
	notes   []string
	lines   []string // what it does with requests
	from    []*setting
	asked   bool // a front proxy asks about its requests, perhaps, and carries them
}

// routes makes a route of each upstream, and public ones for paths that need no sign-in.
func (x *importer) routes() {
	top := x.root.section(2, "routes:")
	x.sections["routes"] = top
	ups, common, notes := x.upstreams()
	var all []*route
	for _, u := range ups {
		if r := x.routeOf(top, u, common); r != nil {
			if i := slices.IndexFunc(all, func(o *route) bool { return o.path == r.path }); i >= 0 {
				x.say(top, u, "There is an upstream for "+r.path+" already, and this one is left out. Several servers that serve the same are targets of one upstream: see docs/upstreams.md.")
				continue
			}
			all = append(all, r)
		} else if u.uri != "file:///dev/null" { // which stands for no app
			x.gaps = append(x.gaps, gapOf(u))
		}
	}
	if len(all) == 0 {
		x.todo = append(x.todo, "name your app as upstream of a route")
		all = append(all, &route{path: "/", notes: []string{"There is no upstream. Where a front proxy asks about each request (auth_request, ForwardAuth): " + askedHow + " As it stands this answers as oauth2-proxy does."}, lines: []string{"respond: { status: 404 }"}})
	}
	if len(all) == 1 && all[0].asked {
		x.forwardAuth(all[0])
	}
	if len(notes) > 0 && slices.ContainsFunc(all, (*route).toApp) {
		top.add(-1, comment(strings.Join(notes, " "))...)
	}
	all = x.publicRoutes(top, all)
	for _, r := range all {
		x.writeRoute(top, r)
	}
}

// forwardAuth has a front proxy ask, which is what an upstream that says yes to everything
// stands for.
func (x *importer) forwardAuth(r *route) {
	r.lines = []string{"name: apps behind the front proxy"}
	r.notes = []string{"oauth2-proxy is asked about each request here (auth_request, ForwardAuth), and so is Evergate: see forward_auth below. Add a route for each further host, with match: { host: NAME }, " +
		"and allow: to those that are not for everybody."}
	x.todo = append(x.todo, "say in forward_auth which proxy asks, and give that one what this prints: evergate snippet nginx --config FILE --app URL-OF-THE-APP --cert FILE --key FILE (docs/forward-auth.md)")
	x.root.add(r.order, append(comment("Where the front proxy asks. dialect is nginx, haproxy, traefik, caddy or envoy; nobody else may reach this address. "+
		"The configuration of that proxy changes too: evergate snippet prints it."), `forward_auth: { listen: "127.0.0.1:9091", dialect: nginx }`)...)
	if x.get("reverse-proxy") == nil && x.get("trusted-proxy-ip") == nil {
		x.todo = append(x.todo, "name your front proxy in trusted_proxies")
		x.root.add(r.order, append(comment("Only these may ask: name your front proxy."), `trusted_proxies: ["127.0.0.1"]`)...)
	}
}

// toApp reports whether r carries requests to an app.
func (r *route) toApp() bool {
	return slices.ContainsFunc(r.lines, func(l string) bool { return strings.HasPrefix(l, "upstream:") })
}

func (x *importer) writeRoute(top *outline, r *route) {
	var lines []string
	switch {
	case r.path == "/" && r.methods == nil:
	case r.methods == nil:
		lines = append(lines, "match: { path: "+scalar(r.path)+" }")
	default:
		lines = append(lines, "match: { path: "+scalar(r.path)+", methods: "+flow(r.methods)+" }")
	}
	if r.public {
		lines = append(lines, "public: true")
	}
	lines = append(lines, r.lines...)
	out := r.above
	if len(r.notes) > 0 {
		out = comment(strings.Join(r.notes, " "))
	}
	for i, l := range lines {
		out = append(out, map[bool]string{true: "- ", false: "  "}[i == 0]+l)
	}
	x.made(top.add(r.order, out...), r.from...)
}

// say notes something about an upstream.
func (x *importer) say(top *outline, u upstream, text string) {
	name := "upstreams"
	if u.setting != nil {
		name = u.setting.name
		x.use(u.setting)
	}
	top.add(u.order, comment(capital(x.where(u.file, u.line))+", "+name+": "+text)...)
}

// upstreams collects them from flags, or from an alpha configuration in their place.
// common are the lines that every route to an app has, and notes what is said of them.
func (x *importer) upstreams() (all []upstream, common, notes []string) {
	timeout, s := x.lasts("upstream-timeout")
	replaced := false
	for _, src := range x.sources {
		replaced = replaced || src.alpha.replaces
		all = append(all, src.alpha.upstreams...)
	}
	if !replaced {
		values, from := x.all("upstream")
		for i, v := range values {
			u := upstream{order: from[i].order(), line: from[i].line, file: from[i].file, setting: from[i], uri: v,
				insecure: x.is("ssl-upstream-insecure-skip-verify", false), ownHost: !x.is("pass-host-header", true)}
			if s != nil {
				u.timeout = timeout.String()
				x.shared = append(x.shared, s)
			}
			all = append(all, u)
		}
		if !x.is("pass-host-header", true) {
			x.shared = append(x.shared, x.get("pass-host-header"))
		}
		common, notes = x.tokens()
	} else {
		common, notes = x.headers()
	}
	if x.is("skip-auth-preflight", false) {
		common = append(common, "cors_preflight: pass")
		x.shared = append(x.shared, x.get("skip-auth-preflight"))
	}
	if x.is("skip-jwt-bearer-tokens", false) && x.done[x.get("oidc-extra-audience")] {
		common = append(common, "bearer: true")
		x.shared = append(x.shared, x.get("skip-jwt-bearer-tokens"))
	}
	return all, common, notes
}

// tokens make what an app gets in Authorization, by flags.
func (x *importer) tokens() (lines, notes []string) {
	password := x.get("basic-auth-password")
	switch {
	case x.is("pass-basic-auth", true) && password != nil:
		const file = "app.password"
		x.shared = append(x.shared, password)
		lines = append(lines, "upstream_auth: { basic: { user: \"{user}\", password_file: "+file+" } }")
		notes = append(notes, capital(x.where(password.file, password.line))+", "+password.name+": the app gets HTTP Basic, and no token beside it. "+x.secretFile(file))
	case x.is("pass-authorization-header", false):
		x.shared = append(x.shared, x.get("pass-authorization-header"))
		lines = append(lines, "token: { type: id }")
	case x.is("pass-access-token", false):
		// This is what Evergate does by itself; the option's note says what differs.
		return nil, nil
	default:
		lines = append(lines, "token: { type: none }")
		notes = append(notes, "The app got no token so far, so it gets none: token: { type: none }. Take that out, and each request has a fresh access token in Authorization.")
	}
	return lines, notes
}

// routeOf makes a route, or notes why not.
func (x *importer) routeOf(top *outline, u upstream, common []string) *route {
	r := &route{order: u.order, path: u.path, above: x.above(u.setting)}
	uri, err := url.Parse(u.uri)
	if err != nil {
		x.say(top, u, "It is no address, and left out.")
		return nil
	}
	if r.path == "" {
		r.path = uri.Path
	}
	if uri.Scheme == "unix" && u.path == "" || r.path == "" {
		r.path = "/"
	}
	if uri.Scheme == "file" && u.path == "" && uri.Fragment != "" {
		r.path = uri.Fragment
	}
	scheme := uri.Scheme
	if u.static {
		scheme = "static"
	}
	if scheme == "static" && u.setting != nil {
		r.path = "/"
	}
	if u.rewrite != "" && strings.ContainsAny(r.path, "()$+") {
		x.say(top, u, "Its path is an expression, and it is left out. Write a route for a plain path; strip_prefix and rewrite change what goes up, see docs/rewriting.md.")
		return nil
	}
	if !safePath.MatchString(r.path) || strings.Contains(r.path, "*") || strings.Contains(r.path, "//") || strings.Contains(r.path+"/", "/./") || strings.Contains(r.path+"/", "/../") {
		x.say(top, u, "Its path is none that Evergate matches by, and it is left out.")
		return nil
	}
	switch scheme {
	case "http", "https", "unix":
		return x.appRoute(top, r, u, uri, common)
	case "file":
		dir := uri.Path
		if dir == "/dev/null" {
			x.say(top, u, "It stands for no app, where a front proxy asks about each request (auth_request, ForwardAuth): "+askedHow)
			return nil
		}
		if uri.Host != "" || dir == "" || !strings.HasPrefix(dir, "/") {
			x.say(top, u, "Write a folder with its whole path, as static: { dir: /srv/app }. It is left out.")
			return nil
		}
		if !strings.HasSuffix(r.path, "/") {
			r.notes = append(r.notes, "oauth2-proxy serves nothing below a path that does not end in /; this serves the folder.")
			r.path += "/"
		}
		if r.path != "/" {
			r.lines = append(r.lines, "strip_prefix: "+scalar(strings.TrimSuffix(r.path, "/")))
		}
		r.lines = append(r.lines, "static: { dir: "+scalar(dir)+" }")
		r.notes = append(r.notes, "Folders are not listed, and links out of the folder are not followed.")
	case "static":
		code, err := strconv.Atoi(map[bool]string{true: u.code, false: uri.Host}[u.static])
		if err != nil || code < 200 || code > 599 {
			code = 200
		}
		line := fmt.Sprintf("respond: { status: %d }", code)
		if code == 200 {
			line = `respond: { status: 200, body: "Authenticated\n" }`
		}
		r.lines = append(r.lines, line)
		r.asked = r.path == "/" && code < 300
	default:
		x.say(top, u, "Want http, https, unix, file or static; it is left out.")
		return nil
	}
	r.from = append(r.from, u.setting)
	return r
}

// appRoute makes a route to an app.
func (x *importer) appRoute(top *outline, r *route, u upstream, uri *url.URL, common []string) *route {
	target := uri.Scheme + "://" + uri.Host
	if uri.Scheme == "unix" {
		target = "unix://" + uri.Path
	} else if !hostPort.MatchString(uri.Host) {
		x.say(top, u, "There is no host in it, and it is left out.")
		return nil
	}
	if uri.User != nil {
		r.notes = append(r.notes, capital(x.where(u.file, u.line))+", upstream: a user name or password does not belong in an address. Where the app wants one, see upstream_auth.")
	}
	if uri.RawQuery != "" {
		r.notes = append(r.notes, capital(x.where(u.file, u.line))+", upstream: its query is left out; requests go up with their own.")
	}
	if u.rewrite != "" {
		r.notes = append(r.notes, capital(x.where(u.file, u.line))+", rewriteTarget: paths go up as they come here. strip_prefix and rewrite change them, see docs/rewriting.md.")
		x.todo = append(x.todo, "rewrite paths as rewriteTarget does")
	}
	if uri.Scheme == "https" && u.insecure {
		r.lines = append(r.lines, "upstream:", "  targets: ["+scalar(target)+"]", "  tls: { insecure_skip_verify: true }")
		r.from = append(r.from, x.get("ssl-upstream-insecure-skip-verify"))
		r.notes = append(r.notes, "Any server on the way can say that it is the app: name its authority with tls: { ca_file: FILE }.")
	} else {
		r.lines = append(r.lines, "upstream: "+scalar(target))
	}
	if u.ownHost {
		r.lines = append(r.lines, "host: upstream")
	}
	if d, err := time.ParseDuration(u.timeout); err == nil && d > 0 && d <= 24*time.Hour {
		r.lines = append(r.lines, "timeouts: { response_header: "+hours(max(d, time.Second))+" }")
	}
	r.lines = append(r.lines, common...)
	r.from = append(append(r.from, u.setting), x.shared...)
	x.shared = nil // said once
	return r
}
