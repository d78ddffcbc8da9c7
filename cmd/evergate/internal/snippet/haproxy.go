package snippet

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"text/template"

	"github.com/evergate/evergate/internal/inject"
)

func init() {
	dialects["haproxy"] = dialect{
		title: "HAProxy",
		funcs: template.FuncMap{"quote": quoteHAProxy, "regex": quoteHAProxy, "protected": haproxyProtected, "proofs": haproxyProofs, "bind": haproxyBind, "crt": haproxyCrt,
			"luaquote": quoteLua, "lower": strings.ToLower, "fold": inject.Fold, "hostACL": haproxyHost, "address": haproxyAddress, "redirects": redirectsHTTP, "buffer": haproxyBuffer,
			"connection": func() []string { return connection }},
		parts: []Part{{"lua", "print the script that the configuration loads, in place of the configuration"}},
		after: `It takes the place of the haproxy.cfg that you have, with all that global says there. Put it at /etc/haproxy/haproxy.cfg, and the script that it loads beside it:
  evergate snippet haproxy --lua --config FILE > /etc/haproxy/evergate.lua
  haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl reload haproxy`,
	}
}

// connection are headers of one connection, which no next one is to see.
var connection = []string{"connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "upgrade", "http2-settings"}

// quoteHAProxy writes a value as one word of the configuration, in single quotes, in which
// neither variables nor escapes are read.
func quoteHAProxy(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\'' }) {
		return "", fmt.Errorf("haproxy cannot hold %q: it has a quote or a control character", s)
	}
	return "'" + s + "'", nil
}

// quoteLua writes a string of Lua. Whatever is not plain is written as its number.
func quoteLua(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\%03d`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

// haproxyProtected are expressions for the names that no client may say, as HAProxy keeps
// names: in lower case. Authorization is not among them where the gateway has still to read it.
func haproxyProtected(f *Front) []string {
	return append(haproxyNames(f.Names, `\z`), haproxyNames(f.unasked(), "")...)
}

// haproxyProofs are those for what the gateway reads, and no app.
func haproxyProofs(f *Front) []string { return haproxyNames(proofs(f), "") }

// haproxyNames are expressions for names that end in end. What a name has between letters
// and digits is any one byte that is neither.
func haproxyNames(names []string, end string) (all []string) {
	const most = 600 // of a word in the file, so that lines stay readable
	var line []string
	flush := func() {
		if len(line) > 0 {
			all = append(all, "^(?:"+strings.Join(line, "|")+")"+end)
		}
		line = nil
	}
	size := 0
	for _, name := range names {
		if name == "authorization" {
			continue
		}
		if size += len(name); size > most {
			flush()
			size = len(name)
		}
		line = append(line, strings.ReplaceAll(regexp.QuoteMeta(name), "-", "[^a-z0-9]"))
	}
	flush()
	return all
}

// haproxyBind are the addresses to listen at, with those of IPv4 and IPv6 for all.
func haproxyBind(at string) (string, error) {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return "", err
	}
	if host == "" {
		return ":" + port + ",:::" + port, nil
	}
	return net.JoinHostPort(host, port), nil
}

// haproxyCrt is the file that holds the certificate: HAProxy finds its key in the same
// one, or beside it.
func haproxyCrt(c *Certificate) (string, error) {
	if c.KeyFile != c.CertFile && c.KeyFile != c.CertFile+".key" {
		return "", &Missing{fmt.Sprintf("haproxy reads the key of %s from that file or from %s.key, and --key is %s", c.CertFile, c.CertFile, c.KeyFile),
			"name a file with both:  cat CERT KEY > FILE, then --cert FILE --key FILE"}
	}
	return quoteHAProxy(c.CertFile)
}

// haproxyHost is the condition for a host, whose name is in a variable without its port.
func haproxyHost(host string) (string, error) {
	if below, ok := strings.CutPrefix(host, "*"); ok {
		q, err := quoteHAProxy(below)
		return "{ var(txn.evergate_host) -m end " + q + " }", err
	}
	q, err := quoteHAProxy(host)
	return "{ var(txn.evergate_host) -m str " + q + " }", err
}

func haproxyAddress(t Target) (string, error) {
	if t.Unix {
		return quoteHAProxy("unix@" + t.Address)
	}
	return quoteHAProxy(t.Address)
}

// haproxyBuffer is the size of a buffer that holds the longest header, and what is added.
func haproxyBuffer(n int64) int64 { return max(n, 16<<10) + 32<<10 }
