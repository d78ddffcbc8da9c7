package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// panva is a provider of panva's that runs.
type panva struct {
	*process
	url  string
	args []string
}

// newPanva starts one for a gateway at gw. Change edits its clients.
func newPanva(t *testing.T, gw string, ttl int, change func(config, client map[string]any)) *panva {
	t.Helper()
	node := need(t, "node", "nodejs")
	if own, err := filepath.Glob("providers/panva/node_modules/node-linux-*/bin/node"); err == nil && len(own) == 1 {
		node = own[0] // Debian's was too old when the provider was installed
	}
	if _, err := os.Stat("providers/panva/node_modules/oidc-provider"); err != nil {
		missing(t, "panva's oidc-provider is not installed; run: make deps")
	}
	port := freePort(t)
	client := map[string]any{
		"client_id": "evergate", "client_secret": "secret of evergate, with a space", "token_endpoint_auth_method": "client_secret_basic",
		"redirect_uris": []string{gw + "/.evergate/callback/oidc"}, "post_logout_redirect_uris": []string{gw + "/.evergate/logout"},
		"backchannel_logout_uri": gw + "/.evergate/backchannel-logout/oidc", "backchannel_logout_session_required": true,
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
	}
	config := map[string]any{"port": json.Number(port), "ttl": ttl, "clients": []any{client}}
	if change != nil {
		change(config, client)
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("providers/panva")
	if err != nil {
		t.Fatal(err)
	}
	p := &panva{url: "http://127.0.0.1:" + port, args: []string{dir + "/provider.mjs", string(text)}}
	p.process = start(t, t.TempDir(), node, p.args...)
	p.awaitHTTP(t, p.url+"/.well-known/openid-configuration")
	return p
}

// door is where a provider is reached. While it is closed, connections are refused.
type door struct {
	t        *testing.T
	port, to string
	mu       sync.Mutex // guards all below
	listener net.Listener
	through  map[net.Conn]bool
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{t: t, port: freePort(t), through: map[net.Conn]bool{}}
	t.Cleanup(d.close)
	return d
}

func (d *door) open() {
	d.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+d.port)
	if err != nil {
		d.t.Fatal(err)
	}
	d.mu.Lock()
	d.listener = l
	d.mu.Unlock()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", d.to)
			if err != nil {
				in.Close()
				continue
			}
			d.mu.Lock()
			d.through[in], d.through[out] = true, true
			d.mu.Unlock()
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
}

// close refuses connections and cuts those that are open.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		d.listener.Close()
	}
	for c := range d.through {
		c.Close()
	}
	clear(d.through)
}

// panvaStats are what it counted.
type panvaStats struct {
	Grants         map[string]int `json:"grants"`
	Errors         map[string]int `json:"errors"`
	Revoked        int            `json:"revoked"`
	MostRefreshing int            `json:"mostRefreshing"`
	Logouts        int            `json:"logouts"`
}

func (p *panva) stats(t *testing.T) (s panvaStats) {
	t.Helper()
	res, err := http.Get(p.url + "/test/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *panva) delay(t *testing.T, d time.Duration) {
	t.Helper()
	res, err := http.Get(fmt.Sprintf("%s/test/delay?ms=%d", p.url, d.Milliseconds()))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

var alice = map[string]string{"login": "alice", "password": "x"}

func panvaConfig(issuer, app, more, route string) string {
	return fmt.Sprintf(`identity:
  - oidc:
      issuer: %s
      client_id: evergate
      client_secret_file: secret
      scopes: [openid, profile, email, groups, offline_access]
      claims: { user: preferred_username }
%s
routes:
  - upstream: %s
%s`, issuer, more, app, route)
}
