package snippet

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/inject"
	"github.com/evergate/evergate/proxy"
)

// Options are what the config does not say.
type Options struct {
	// Dialect is the front proxy.
	Dialect string
	// Cookies are the names of the gateway's cookies; see Front.
	Cookies []string
	// Told are the headers that the forward_auth listener tells of.
	Told []string
	// Gateway is the host at which the front proxy reaches the gateway; "" is the one that
	// the gateway listens on.
	Gateway string
	// Listen is where the front proxy listens; "" is the port of public_url, on every
	// address, or on 127.0.0.1 where public_url is plain http.
	Listen string
	// CertFile and KeyFile are the front proxy's certificate.
	CertFile, KeyFile string
	// Apps are the upstreams of routes that have none, by host; "" is for all hosts.
	Apps map[string]*url.URL
}

// Missing is something that a front proxy has to know and nobody says.
type Missing struct {
	// What is missing, and Add says how to give it.
	What, Add string
}

func (m *Missing) Error() string { return m.What }

// New says what the front proxy of o.Dialect has to know of the gateway of cfg, which
// has forward_auth. The error is a *Missing where a flag or a key would mend it.
func New(cfg *config.Config, o Options) (*Front, error) {
	f := &Front{Dialect: o.Dialect, Public: cfg.PublicURL, Cookies: o.Cookies, Told: o.Told,
		HeaderBytes: int64(cfg.Limits.HeaderBytes), BodyBytes: int64(cfg.Limits.BodyBytes)}
	f.Names, f.Families = proxy.ProtectedHeaders()
	for _, name := range f.Told {
		if name = inject.Fold(name); !f.protected(name) {
			f.Names = append(f.Names, name)
		}
	}
	slices.Sort(f.Names)
	if cfg.ForwardedHeader != "X-Forwarded-For" {
		return nil, &Missing{"the front proxy says in X-Forwarded-For who asks, and forwarded_header is " + cfg.ForwardedHeader, "remove forwarded_header from the config"}
	}
	if cfg.ProxyProtocol {
		return nil, &Missing{"with proxy_protocol connections begin with a PROXY header, and the front proxy sends none", "remove proxy_protocol from the config"}
	}
	var err error
	if f.Gateway, err = reach(cfg.Listen, "listen", o.Gateway); err != nil {
		return nil, err
	}
	if f.Auth, err = reach(cfg.ForwardAuth.Listen, "forward_auth.listen", o.Gateway); err != nil {
		return nil, err
	}
	if err := f.secure(cfg, &o); err != nil {
		return nil, err
	}
	if err := f.listen(o.Listen); err != nil {
		return nil, err
	}
	return f, f.lay(cfg, &o)
}

// protected reports whether a folded name is among the names and families.
func (f *Front) protected(folded string) bool {
	return slices.Contains(f.Names, folded) || slices.ContainsFunc(f.Families, func(family string) bool { return strings.HasPrefix(folded, family) })
}

// reach is the address at which a listener of the gateway is reached, at host if that is
// given.
func reach(listener, key, host string) (string, error) {
	own, port, err := net.SplitHostPort(listener)
	if err != nil || port == "0" {
		return "", &Missing{fmt.Sprintf("%s is %q, which is no fixed address for a front proxy to connect to", key, listener), "set " + key + " to an address with a port"}
	}
	if host != "" {
		return net.JoinHostPort(strings.Trim(host, "[]"), port), nil
	}
	if a, err := netip.ParseAddr(own); own == "" || err == nil && a.IsUnspecified() {
		return "", &Missing{fmt.Sprintf("%s is %q, every address of the gateway's machine, and does not say how the front proxy reaches it", key, listener),
			"add --gateway HOST, such as --gateway 127.0.0.1 on the same machine"}
	}
	return net.JoinHostPort(own, port), nil
}

// secure finds the certificate.
func (f *Front) secure(cfg *config.Config, o *Options) error {
	t := &cfg.TLS
	const add = "add --cert FILE --key FILE with its certificate, and remove tls from the config"
	switch own := t.CertFile != "" || t.ACME != nil; {
	case (o.CertFile == "") != (o.KeyFile == ""):
		return &Missing{"a certificate needs its key, and the other way round", "add both --cert FILE and --key FILE"}
	case f.Public.Scheme == "http" && o.CertFile != "":
		return &Missing{"public_url is http, so no certificate is used", "remove --cert and --key, or write https:// in public_url"}
	case f.Public.Scheme == "http":
		return nil
	case own:
		return &Missing{"with tls in the config the gateway itself speaks TLS, and here the front proxy does", add}
	case o.CertFile == "":
		return &Missing{"public_url is https, and nothing says which certificate the front proxy has", "add --cert FILE --key FILE, the chain and its key (PEM) on the front proxy's machine"}
	}
	f.TLS = &Certificate{CertFile: o.CertFile, KeyFile: o.KeyFile}
	return nil
}

func (f *Front) listen(at string) error {
	port := f.Public.Port()
	switch {
	case at != "":
		if _, port, err := net.SplitHostPort(at); err != nil || port == "" || port == "0" {
			return &Missing{fmt.Sprintf("%q is no address to listen on", at), "write --listen 127.0.0.1:8443, or --listen :8443"}
		}
		f.Listen = at
		return nil
	case port == "" && f.Public.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	host := ""
	if f.TLS == nil { // public_url is a loopback name then
		host = "127.0.0.1"
	}
	f.Listen = net.JoinHostPort(host, port)
	return nil
}

// isHost is stricter than the config: what it lets through means the same to each dialect.
var isHost = regexp.MustCompile(`^(?:(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])$`)

// delimiter is an escape of a character that may stand in a path as it is. The gateway's
// router tells the two apart.
var delimiter = regexp.MustCompile(`(?i)%(?:2[1456789ABC]|3[ABD]|40|5[BD])`)

// lay puts every host and path in its place.
func (f *Front) lay(cfg *config.Config, o *Options) error {
	routes := make([]placed, len(cfg.Routes))
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		app, err := f.app(r, i, o)
		if err != nil {
			return err
		}
		routes[i] = placed{host: strings.ToLower(strings.TrimSuffix(r.Match.Host, ".")), pattern: r.Match.Path, app: app}
		if routes[i].pattern == "" {
			routes[i].pattern = "/"
		}
		if strings.Contains(strings.ToLower(routes[i].pattern), "%2f") {
			return &Missing{fmt.Sprintf("routes[%d].match.path %q holds an encoded slash, which a front proxy takes for a slash", i, r.Match.Path),
				"match the path above it, which ends in a slash"}
		}
		if escape := delimiter.FindString(routes[i].pattern); escape != "" {
			return &Missing{fmt.Sprintf("routes[%d].match.path %q holds %s, and a front proxy sees no difference between that and the character itself", i, r.Match.Path, escape),
				"write the character itself, or match the path above it, which ends in a slash"}
		}
	}
	for _, host := range hosts(cfg, routes) {
		if !isHost.MatchString(host) {
			return fmt.Errorf("the host %q is none that a front proxy is told of", host)
		}
		site := Site{Host: host, Paths: paths(host, routes)}
		f.Sites = append(f.Sites, site)
		for _, p := range site.Paths {
			if p.App != nil && p.App.Name == "" {
				f.Apps = append(f.Apps, p.App)
				p.App.Name = fmt.Sprintf("app%d", len(f.Apps))
			}
		}
	}
	return nil
}

// app is where the requests of a route go, nil for through the gateway. Routes that lead
// to the same share one.
func (f *Front) app(r *config.Route, i int, o *Options) (*App, error) {
	up := r.Upstream
	if r.Redirect != nil || r.Respond != nil || r.Static != nil || r.Admin || up != nil && !plain(r) {
		return nil, nil
	}
	if up == nil {
		host := strings.ToLower(r.Match.Host)
		target, ok := o.Apps[host]
		if !ok {
			target, ok = o.Apps[""]
		}
		if !ok {
			flag := "--app URL"
			if host != "" {
				flag = "--app " + host + "=URL, or --app URL for all hosts"
			}
			return nil, &Missing{fmt.Sprintf("routes[%d] has no upstream, so the front proxy does not know the app", i), "add an upstream to it, or " + flag}
		}
		up = config.NewUpstream(target)
	}
	wait := r.Timeouts
	if r.Upstream == nil { // the file has none there
		wait = config.DefaultTimeouts
	}
	app := &App{ConnectTimeout: seconds(wait.Connect), ResponseTimeout: seconds(wait.ResponseHeader), IdleTimeout: seconds(wait.Idle)}
	switch r.Host {
	case "", config.HostPreserve:
	case config.HostUpstream:
		app.Host = up.Targets[0].URL.Host
	default:
		app.Host = r.Host
	}
	for _, t := range up.Targets {
		app.Targets = append(app.Targets, targetOf(t))
		if t.URL.Scheme == "https" {
			app.TLS = &AppTLS{ServerName: t.URL.Hostname()}
		}
	}
	if t := up.TLS; t != nil && app.TLS != nil {
		app.TLS.CAFile, app.TLS.CertFile, app.TLS.KeyFile, app.TLS.Insecure = t.CAFile, t.CertFile, t.KeyFile, t.InsecureSkipVerify
		if t.ServerName != "" {
			app.TLS.ServerName = t.ServerName
		}
	}
	for _, other := range f.made {
		if reflect.DeepEqual(app, other) {
			return other, nil
		}
	}
	f.made = append(f.made, app)
	return app, nil
}

// plain reports whether a front proxy carries the requests of a route as the gateway would.
func plain(r *config.Route) bool {
	if r.StripPrefix != "" || r.AddPrefix != "" || r.Rewrite != nil || r.UpstreamAuth != nil || r.SecureHeaders != nil ||
		len(r.ReplaceErrors)+len(r.Compress)+len(r.LogoutPaths)+len(r.PassHeaders) > 0 {
		return false
	}
	if up, down := &r.RequestHeaders, &r.ResponseHeaders; len(up.Add)+len(up.Remove)+len(down.Set)+len(down.Add)+len(down.Remove) > 0 {
		return false
	}
	for name := range r.RequestHeaders.Set {
		if inject.IsBrowsers(name) { // the gateway tells no front proxy of these
			return false
		}
	}
	u := r.Upstream
	https, names := 0, map[string]bool{}
	for _, t := range u.Targets {
		if t.URL.Scheme == "https" {
			https++
		}
		names[t.URL.Hostname()] = true
	}
	named := u.TLS != nil && u.TLS.ServerName != ""
	return u.Sticky == "" && u.Health == nil && u.Connections == 0 && (u.Protocol == "auto" || u.Protocol == "http1") &&
		(https == 0 || https == len(u.Targets) && (named || len(names) == 1)) && // one name for all
		(r.Host != config.HostUpstream || len(u.Targets) == 1 && u.Targets[0].URL.Scheme != "unix")
}
