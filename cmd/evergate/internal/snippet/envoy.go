package snippet

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

func init() {
	dialects["envoy"] = dialect{
		title: "Envoy",
		funcs: template.FuncMap{
			"quote": quoteJSON, "socket": envoySocket, "listenPort": listenPort, "bind": envoyBind,
			"domain": envoyDomain, "name": func(f *Front, s Site) string { return f.Host(s) }, "regex": envoyRegexp, "own": func() string { return `(?i)/\.evergate(?:/.*)?` },
			"unclear": func() string { return unclearRegexp }, "lower": strings.ToLower, "removed": envoyRemoved, "proofs": proofs, "kilobytes": envoyKilobytes,
			"discovery": envoyDiscovery, "redirects": redirectsHTTP, "san": envoySAN,
		},
		after: `Write it to /etc/envoy/envoy.yaml, check it and start Envoy with it:
  envoy --mode validate -c /etc/envoy/envoy.yaml
  envoy -c /etc/envoy/envoy.yaml
Envoy adds its own address to X-Forwarded-For when it asks: list that one in
trusted_proxies too, or every browser seems to come from there.`,
	}
}

// unclearRegexp matches paths in which a letter, a digit or one of -._~ is escaped: the
// rules below read paths as they are sent, and the gateway reads them without.
const unclearRegexp = `.*%(?:2[DdEe]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee]).*`

// listenPort is the port of Listen.
func listenPort(f *Front) (string, error) {
	_, port, err := net.SplitHostPort(f.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return port, err
}

// envoyBind is the address that Envoy listens on; "" in Listen is every one.
func envoyBind(f *Front) (string, error) {
	host, err := listenHost(f)
	if err != nil {
		return "", err
	}
	if host == "" {
		host = "::"
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return quoteJSON(a.String())
	}
	return "", &Missing{fmt.Sprintf("Envoy listens on addresses alone, and %q is a name", host), "write the address in --listen"}
}

// envoySocket is a host:port as an address of Envoy's.
func envoySocket(at string) (string, error) {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port: %w", at, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", fmt.Errorf("the port of %q is none: %w", at, err)
	}
	q, err := quoteJSON(host)
	return fmt.Sprintf("socket_address: { address: %s, port_value: %d }", q, n), err
}

// envoyDomain is a site as Envoy's virtual hosts have it. A wildcard is for any number of
// labels there too.
func envoyDomain(s Site) (string, error) { return quoteJSON(s.Host) }

// envoyRegexp is an expression for the whole path as it is sent, with no escapes of
// unreserved bytes in it.
func envoyRegexp(p Path) (string, error) {
	expr := p.eachByte(func(b *strings.Builder, c byte) {
		escape := fmt.Sprintf("%%(?i:%02X)", c)
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0:
			b.WriteString(regexp.QuoteMeta(string(rune(c))))
		case ' ' < c && c < 0x80 && c != '%':
			b.WriteString("(?:" + regexp.QuoteMeta(string(rune(c))) + "|" + escape + ")")
		default:
			b.WriteString(escape)
		}
	})
	if strings.HasSuffix(p.Pattern, "/") {
		expr += ".*"
	}
	return quoteJSON(expr)
}

// envoyRemoved are matchers of the names of a client's headers that go no further.
// Authorization stays: the decision reads it, and its answer takes its place.
func envoyRemoved(f *Front) ([]string, error) {
	var all []string
	add := func(kind, s string) error {
		q, err := quoteJSON(s)
		all = append(all, kind+": "+q)
		return err
	}
	for _, c := range "!#$%&'*+.^_`|~" {
		if err := add("contains", string(c)); err != nil {
			return nil, err
		}
	}
	for _, family := range append(f.unasked(), "x-envoy-") {
		if err := add("prefix", family); err != nil {
			return nil, err
		}
	}
	for _, name := range f.Names {
		if name == "authorization" || strings.HasPrefix(name, "x-envoy-") {
			continue
		}
		if err := add("exact", name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// envoyKilobytes bounds the header of a request, rounded up to what Envoy counts in.
func envoyKilobytes(n int64) int64 { return min(max((n+1023)>>10, 1), 8192) }

// envoyDiscovery is how an app's servers are found.
func envoyDiscovery(a *App) (string, error) {
	named, pipe := "", ""
	for _, t := range a.Targets {
		host, _, _ := net.SplitHostPort(t.Address)
		switch _, err := netip.ParseAddr(host); {
		case t.Unix:
			pipe = t.Address
		case err != nil:
			named = t.Address
		}
	}
	if named != "" && pipe != "" {
		return "", &Missing{fmt.Sprintf("Envoy cannot have a name and a unix socket in one cluster: %s and %s", named, pipe), "write the address instead of the name"}
	}
	if named != "" {
		return "STRICT_DNS", nil
	}
	return "STATIC", nil
}

// envoySAN is of which kind the name in a certificate is.
func envoySAN(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return "IP_ADDRESS"
	}
	return "DNS"
}
