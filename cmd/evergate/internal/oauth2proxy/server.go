package oauth2proxy

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/evergate/evergate/config"
)

var hostPort = regexp.MustCompile(`^([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?$`)

// server makes what is about listening, and about how browsers get there.
func (x *importer) server() {
	x.public()
	certificate := x.get("tls-cert-file") != nil && x.get("tls-key-file") != nil
	address := "http-address"
	if certificate {
		address = "https-address"
		tls := x.root.section(2, "tls:")
		x.sections["tls"] = tls
		for _, flag := range []string{"tls-cert-file", "tls-key-file"} {
			s := x.get(flag)
			x.put(tls, s, []string{s.key[len("tls_"):] + ": " + scalar(s.values[0])})
		}
	}
	if s := x.get(address); s != nil {
		if listen := x.listenOn(s.values[0]); listen != "" {
			x.put(x.root, s, []string{"listen: " + scalar(listen)})
		}
	} else if certificate {
		x.root.add(x.get("tls-cert-file").order(), "listen: \":443\"")
	}
	if plain := x.get("http-address"); certificate && plain != nil && x.is("force-https", false) {
		if listen := x.listenOn(plain.values[0]); listen != "" && listen != x.listenOn(x.text("https-address")) {
			x.made(x.put(x.sections["tls"], plain, []string{"redirect_http: " + scalar(listen)}), x.get("force-https"))
		}
	}
	x.proxies()
}

// public makes public_url.
func (x *importer) public() {
	s, note := x.get("redirect-url"), ""
	var u *url.URL
	if s != nil {
		u, _ = url.Parse(s.values[0])
	}
	if x.PublicURL != "" {
		u, _ = url.Parse(x.PublicURL)
		note = "The address is that of --public-url."
	}
	switch {
	case u == nil || u.Scheme != "http" && u.Scheme != "https" || !hostPort.MatchString(u.Host) || x.PublicURL == "" && u.User != nil:
		u = &url.URL{Scheme: "https", Host: "apps.example.com"}
		note = "oauth2-proxy takes the host that a browser asks for. Evergate has one address: write it here, or import again with --public-url."
		x.todo = append(x.todo, "write your address into public_url")
	case u.Scheme == "http" && !config.IsLoopback(u.Hostname()):
		u.Scheme = "https"
		note = "Plain http is for loopback names alone, because anybody on the way could take the cookie: this says https, which the front proxy or tls has to serve."
	}
	x.publicURL = u.Scheme + "://" + strings.ToLower(u.Host)
	lines := []string{"public_url: " + scalar(x.publicURL)}
	if s == nil {
		x.root.add(-1, append(comment(note), lines...)...)
		return
	}
	if note == "" {
		x.put(x.root, s, lines)
		return
	}
	x.put(x.root, s, lines, note)
}

// listenOn reads an address of oauth2-proxy, or gives "" where Evergate has no such one.
func (x *importer) listenOn(s string) string {
	for _, scheme := range []string{"http://", "https://"} {
		if rest, ok := strings.CutPrefix(strings.ToLower(s), scheme); ok {
			s = rest
		}
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" || host != "" && !hostPort.MatchString(net.JoinHostPort(host, port)) {
		return ""
	}
	return s
}

// proxies makes trusted_proxies.
func (x *importer) proxies() {
	var trusted []string
	values, from := x.all("trusted-proxy-ip")
	for i, v := range values {
		if !isNetwork(v) {
			x.fail(from[i], "want an address or a range such as 10.0.0.0/8")
			continue
		}
		trusted = append(trusted, v)
	}
	s := x.get("reverse-proxy")
	behind := x.is("reverse-proxy", false)
	switch {
	case len(trusted) > 0:
		kid := x.made(x.put(x.root, from[0], []string{"trusted_proxies: " + flow(trusted)}), from[1:]...)
		if behind {
			x.made(kid, s)
		}
	case behind:
		x.todo = append(x.todo, "name your front proxy in trusted_proxies")
		x.put(x.root, s, []string{"trusted_proxies: [\"127.0.0.1\"]"}, s.note)
	}
}

func isNetwork(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return !strings.Contains(s, "%")
	}
	_, err := netip.ParsePrefix(s)
	return err == nil
}
