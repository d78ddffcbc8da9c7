package config_test

import (
	"net"
	"strings"
	"testing"
)

// TestStrangersThatAreBelieved: ranges of proxies that nobody has in front of a gateway.
func TestStrangersThatAreBelieved(t *testing.T) {
	for ranges, want := range map[string]string{
		"0.0.0.0/0": "everybody is believed", `"::/0"`: "everybody is believed",
		"0.0.0.0/1": "0.0.0.0/1 is a large part of the internet", "128.0.0.0/1": "a large part", "64.0.0.0/7": "a large part",
		`"2000::/3"`: "2000::/3 is a large part", `"2a00::/12"`: "a large part", `"::/1"`: "a large part", `"8000::/1"`: "a large part",
		"10.0.0.0/8": "", "172.16.0.0/12": "", "192.168.0.0/16": "", "127.0.0.0/8": "", "203.0.113.7": "", "104.16.0.0/13": "", "17.0.0.0/8": "",
		`"fc00::/7"`: "", `"fd00::/8"`: "", `"fe80::/10"`: "", `"2001:db8::/32"`: "", `"2400:cb00::/32"`: "", `"2a06::/16"`: "",
	} {
		got := onlyOf(warned(t, t.TempDir(), "trusted_proxies: ["+ranges+"]\n"+head0+"routes: [ redirect: /x ]\n"), "trusted_proxies")
		if !strings.Contains(got, want) || want == "" && got != "" || strings.Count(got, "\n") > 1 {
			t.Errorf("%s: got %q, want %q", ranges, got, want)
		}
	}
}

// TestCookieNamesThatOthersCanSet: browsers hold a name to one host and to https by what it
// begins with.
func TestCookieNamesThatOthersCanSet(t *testing.T) {
	for name, want := range map[string]string{
		"door": "write __Host-Http-door", "__Secure-door": "write __Host-Http-door", "__Http-door": "write __Host-Http-door", "__host-door": "without __Host- in front",
		"__Host-door": "", "__Host-Http-door": "",
	} {
		got := onlyOf(warned(t, t.TempDir(), head0+"session: { cookie: { name: "+name+" } }\nroutes: [ redirect: /x ]\n"), "session.cookie.name")
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	plain := strings.Replace(head0, "https://apps.example.com", "http://localhost:8080", 1)
	if got := warned(t, t.TempDir(), plain+"session: { cookie: { name: door } }\nroutes: [ redirect: /x ]\n"); got != "" {
		t.Errorf("on plain http, where browsers take no prefix: got %q", got)
	}
}

// TestOperatorsListenerThatOthersReach: the operator's listener is for this machine, but in a
// container, where an orchestrator says who gets in.
func TestOperatorsListenerThatOthersReach(t *testing.T) {
	const want = "admin.listen: warning: whoever reaches "
	for _, row := range []struct {
		name, text string
		warned     bool
	}{
		{"every address", "admin: { listen: ':9180' }\n", true},
		{"every address of IPv4", "admin: { listen: 0.0.0.0:9180 }\n", true},
		{"every address of IPv6", "admin: { listen: '[::]:9180' }\n", true},
		{"an address of a network", "admin: { listen: 10.0.0.5:9180 }\n", true},
		{"a name", "admin: { listen: gateway.internal:9180 }\n", true},
		{"loopback", "admin: { listen: 127.0.0.1:9180 }\n", false},
		{"loopback of IPv6", "admin: { listen: '[::1]:9180' }\n", false},
		{"its name", "admin: { listen: localhost:9180 }\n", false},
		{"as by default", "", false},
		{"every address, and the gateway too", "listen: :8443\nadmin: { listen: ':9180' }\n", true},
		{"a container", "listen: :8443\nadmin: { listen: ':9180' }\nkeys: { files: [/run/secrets/evergate.key] }\n", false},
		{"secrets of a container, and the gateway on loopback", "admin: { listen: ':9180' }\nkeys: { files: [/run/secrets/evergate.key] }\n", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := warned(t, t.TempDir(), row.text+head0+"routes: [ redirect: /x ]\n")
			if strings.Contains(got, want) != row.warned {
				t.Errorf("got %q, want a warning: %t", got, row.warned)
			}
		})
	}
}

// TestTargetsThatAreTheGateway: whatever the name is by which it is reached.
func TestTargetsThatAreTheGateway(t *testing.T) {
	const onEach = "listen: :8443\nadmin: { listen: ':9180' }\n"
	for _, row := range []struct{ name, text, target, want string }{
		{"the operator's", "", "http://127.0.0.1:9180", "routes[0].upstream: warning: 127.0.0.1:9180 is this gateway's own admin.listen: whoever the route lets pass reads metrics"},
		{"by its name", "", "http://localhost:9180", "own admin.listen"},
		{"by a longer name", "", "http://app.localhost:9180", "own admin.listen"},
		{"with a dot", "", "http://LOCALHOST.:9180", "own admin.listen"},
		{"by no address", "", "http://0.0.0.0:9180", "own admin.listen"},
		{"by no address of IPv6", "", "'http://[::]:9180'", "own admin.listen"},
		{"as IPv4 in IPv6", "", "'http://[::ffff:127.0.0.1]:9180'", "own admin.listen"},
		{"by IPv6 where it is everywhere", onEach, "'http://[::1]:9180'", "own admin.listen"},
		{"by another address of loopback where it is everywhere", onEach, "http://127.9.9.9:9180", "own admin.listen"},
		{"the gateway's", "", "http://localhost:8080", "own listen: a request would come back"},
		{"by https", onEach, "https://localhost:8443", "own listen"},
		{"that of redirects", "listen: :443\ntls: { acme: {}, redirect_http: ':80' }\n", "http://127.0.0.1", "own tls.redirect_http"},
		{"that of a proxy in front", "forward_auth: { listen: '127.0.0.1:9091', dialect: nginx }\ntrusted_proxies: [127.0.0.1]\n", "http://127.0.0.1:9091", "own forward_auth.listen, whose answers have people's tokens"},
		{"public_url", "", "https://apps.example.com", "apps.example.com is public_url"},
		{"public_url with its port", "", "https://Apps.example.com:443", "is public_url"},
		{"another port", "", "http://127.0.0.1:9181", ""},
		{"another address of loopback", "", "http://127.0.0.2:9180", ""},
		{"another machine", onEach, "https://192.0.2.77:8443", ""},
		{"another port of public_url", "", "https://apps.example.com:8443", ""},
		{"a socket", "", "unix:///run/app.sock", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := onlyOf(warned(t, t.TempDir(), row.text+head0+"routes: [ { host: upstream, upstream: "+row.target+" } ]\n"), "upstream")
			if row.want == "" && strings.Contains(got, "gateway") || !strings.Contains(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.IsLinkLocalUnicast() {
			continue
		}
		target := "'http://" + net.JoinHostPort(n.IP.String(), "9180") + "'"
		if got := warned(t, t.TempDir(), onEach+head0+"routes: [ upstream: "+target+" ]\n"); !strings.Contains(got, "own admin.listen") {
			t.Errorf("%s is this machine's: got %q", target, got)
		}
	}
}
