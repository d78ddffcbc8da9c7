package snippet

import (
	"net/url"
	"regexp"
	"strings"
)

// Front is what a front proxy has to know.
type Front struct {
	// Dialect is the front proxy: nginx, haproxy, traefik, caddy or envoy.
	Dialect string
	// Public is how browsers reach it: the public_url of the config.
	Public *url.URL
	// Listen is where it listens, host:port; an empty host is every address.
	Listen string
	// TLS is its certificate; nil where public_url is plain http.
	TLS *Certificate
	// Gateway is where it reaches the gateway's public listener, and Auth where its
	// forward_auth listener: host:port, plain http.
	Gateway, Auth string
	// Cookies are the names of the gateway's cookies: of sessions, and of the dashboard. Those whose
	// names begin with one of them and a hyphen are the gateway's too, in any case of letters.
	Cookies []string
	// Told are the headers that a 200 of the forward_auth listener always has, empty where
	// there is nothing to say. They go up to the app in place of the client's.
	Told []string
	// Names are header names that no client may say to an app, and Families beginnings of
	// such names, all folded: lower case, every byte that is not a letter or digit read as
	// a hyphen. Those of Told are among them.
	Names, Families []string
	// HeaderBytes bounds the header of a request, BodyBytes its body; zero is no limit.
	HeaderBytes, BodyBytes int64
	// Sites are the hosts that are served, public_url's first. Of several that match the
	// first counts. All others are answered 421.
	Sites []Site
	// Apps are where the sites' paths lead to, each once.
	Apps []*App

	made []*App // those of all routes, also where no path leads
}

// Certificate is a chain and its key, PEM files on the front proxy's machine.
type Certificate struct{ CertFile, KeyFile string }

// Site is one host.
type Site struct {
	// Host is a name in lower case, an address (IPv6 in brackets), or *.example.com for
	// every name below it, however many labels.
	Host string
	// Paths are tried in their order, the first that matches counts. The last one matches
	// every path.
	Paths []Path
}

// Path is which requests go where.
type Path struct {
	// Pattern is as in the config: one that ends in / matches everything under it, another
	// itself alone, and a segment * any one segment. It may hold escapes.
	Pattern string
	// App is where they go once the gateway has said yes. Nil is through the gateway's
	// public listener, which decides itself: nobody is asked before.
	App *App
}

// Any reports whether every path matches.
func (p Path) Any() bool { return p.Pattern == "/" }

// Regexp is an expression for the decoded path, anchored at its beginning and, unless
// everything under it matches, with \z at its end. PCRE and RE2 read it alike.
func (p Path) Regexp() string {
	segments := strings.Split(decoded(p.Pattern), "/")
	for i, s := range segments {
		if segments[i] = regexp.QuoteMeta(s); s == "*" {
			segments[i] = "[^/]+"
		}
	}
	all := "^" + strings.Join(segments, "/")
	if strings.HasSuffix(all, "/") {
		return all
	}
	return all + `\z`
}

// eachByte is an expression for the segments of a path, of what write makes of each decoded
// byte of those that are no *.
func (p Path) eachByte(write func(b *strings.Builder, c byte)) string {
	var b strings.Builder
	for i, segment := range strings.Split(p.Pattern, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		if segment == "*" {
			b.WriteString("[^/]+")
			continue
		}
		for _, c := range []byte(decoded(segment)) {
			write(&b, c)
		}
	}
	return b.String()
}

// App is an upstream of one route or more.
type App struct {
	// Name is app1, app2, …
	Name string
	// Targets serve the same.
	Targets []Target
	// TLS is how https targets are known; nil where they are not https.
	TLS *AppTLS
	// Host is the Host header that goes up; "" is the browser's, with the port of public_url
	// where it has one.
	Host string
	// ConnectTimeout and ResponseTimeout bound a connection and the wait for the header of
	// an answer, IdleTimeout is how long an unused connection is kept, in seconds.
	// ResponseTimeout zero is no bound.
	ConnectTimeout, ResponseTimeout, IdleTimeout int
}

// Target is one server of an app: a host:port, or the path of a unix socket.
type Target struct {
	Address string
	Unix    bool
	Weight  int
}

// AppTLS is how an app's certificate is checked, and who the front proxy says it is.
type AppTLS struct {
	// ServerName is the name in the certificate, never "".
	ServerName string
	// CAFile is the authority to trust; "" is those of the system.
	CAFile string
	// CertFile and KeyFile are a client certificate; "" is none.
	CertFile, KeyFile string
	// Insecure believes any certificate.
	Insecure bool
}

// Host is the Host header of a request to a site, as browsers send it: the name of an
// exact site, and the port of public_url where it names one. For a wildcard it is "".
func (f *Front) Host(s Site) string {
	if strings.HasPrefix(s.Host, "*.") {
		return ""
	}
	return s.Host + f.Port()
}

// Port is ":8443" where public_url names a port, and "" otherwise.
func (f *Front) Port() string {
	if p := f.Public.Port(); p != "" {
		return ":" + p
	}
	return ""
}
