package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/config"
)

// asking is for questions to the gateway that runs: no proxy stands in between, and its
// answers are its own.
var asking = &http.Client{
	Timeout:       5 * time.Second,
	Transport:     &http.Transport{DisableKeepAlives: true, DialContext: dial},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// dial takes localhost and every name below it for this machine, whatever a name server
// says, as browsers do (RFC 6761 section 6.3).
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	host, port, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host) != nil || !config.IsLoopback(host) {
		return d.DialContext(ctx, network, address)
	}
	c, err := d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		if c, err6 := d.DialContext(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
			return c, nil
		}
	}
	return c, err
}

func (p *Patient) livez(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	status, body, err := get(ctx, "http://"+p.Admin+"/livez", "")
	return err == nil && status == http.StatusOK && strings.TrimSpace(string(body)) == "ok"
}

// get asks an address of this machine; host is the Host header, or "".
func get(ctx context.Context, address, host string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	if host != "" {
		req.Host = host
	}
	res, err := asking.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, body, err
}

// ready is the answer of /readyz.
type ready struct {
	Ready bool `json:"ready"`
	Parts map[string]struct {
		OK     bool   `json:"ok"`
		Reason string `json:"reason"`
	} `json:"parts"`
}

func (p *Patient) readyz(ctx context.Context) (*ready, error) {
	_, body, err := get(ctx, "http://"+p.Admin+"/readyz", "")
	if err != nil {
		return nil, err
	}
	r := &ready{}
	if err := json.Unmarshal(body, r); err != nil || r.Parts == nil {
		return nil, errors.New("its /readyz is not that of a gateway")
	}
	return r, nil
}

func (p *Patient) gateway(ctx context.Context) []Finding {
	f := Finding{Skip, "gateway.admin", p.Admin, "no gateway runs here: nothing answers on the admin listener", ""}
	if !p.alive {
		return []Finding{f}
	}
	all := []Finding{p.inForce(ctx), p.front(ctx)}
	f.Status, f.Text = OK, "the gateway runs, and is ready"
	r, err := p.readyz(ctx)
	if err != nil {
		f.Status, f.Text, f.Mend = Fail, fmt.Sprintf("the gateway runs, and does not say how it is: %v", err), "look into its log, or restart it"
		return append(all, f)
	}
	var ill []string
	for _, name := range slices.Sorted(maps.Keys(r.Parts)) {
		if part := r.Parts[name]; !part.OK {
			ill = append(ill, name+": "+part.Reason)
		}
	}
	switch {
	case !r.Ready:
		f.Status, f.Text, f.Mend = Fail, "the gateway runs and is not ready: "+strings.Join(ill, "; "), "see to what it names; evergate healthcheck shows it again"
	case len(ill) > 0:
		f.Status, f.Text, f.Mend = Warn, "the gateway runs, is ready, and complains: "+strings.Join(ill, "; "), "see to what it names; it serves on meanwhile"
	}
	return append(all, f)
}

// inForce compares the file with what the gateway runs with.
func (p *Patient) inForce(ctx context.Context) Finding {
	f := Finding{OK, "gateway.config", "", "what the file says is in force", ""}
	r, err := p.Running(ctx)
	switch {
	case err != nil:
		f.Status, f.Text = Skip, fmt.Sprintf("it cannot be told: %v", err)
		f.Mend = "run the doctor as the user that the gateway runs as, and with its own config file"
	case r.Error != "":
		f.Status, f.Text, f.Mend = Fail, "the gateway keeps the config of before: "+r.Error, "mend the file; evergate reload shows what is wrong"
	case !sameFile(p.File, r.File):
		f.Status, f.Text, f.Mend = Warn, "the gateway was started with another file, "+r.File, "name that one with --config, or restart the gateway with this one"
	case len(r.Changed) > 0:
		f.Status, f.Text = Warn, "the file has changed, and the gateway runs with what it said before: "+strings.Join(r.Changed, ", ")
		f.Mend = "evergate reload --config " + p.File
	}
	return f
}

func sameFile(a, b string) bool {
	fa, err1 := os.Stat(a)
	fb, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(fa, fb)
}

// front comes in by public_url, as browsers do, through whatever stands in front.
func (p *Patient) front(ctx context.Context) Finding {
	u := p.Config.PublicURL
	f := Finding{OK, "gateway.public_url", "", u.String() + " leads to the gateway", ""}
	status, body, err := get(ctx, u.String()+"/.evergate/ping", "")
	switch {
	case err != nil:
		f.Status, f.Text = Warn, fmt.Sprintf("%s does not lead to the gateway from here: %v", u, bare(err))
		f.Mend = "try it from elsewhere; if browsers cannot reach it either, look at DNS, the front proxy and its certificate"
	case status == http.StatusMisdirectedRequest:
		f.Status, f.Text = Fail, u.String()+" leads to the gateway, under a Host that it does not know"
		f.Mend = "have the front proxy pass the Host header on as it comes (nginx: proxy_set_header Host $host)"
	case status >= 300 && status < 400:
		f.Status, f.Text = Fail, fmt.Sprintf("%s answers /.evergate/ping with a redirect (%d)", u, status)
		f.Mend = "set public_url to where it redirects to, or have the front proxy send all paths to the gateway"
	case status != http.StatusOK || strings.TrimSpace(string(body)) != "ok":
		f.Status, f.Text = Fail, fmt.Sprintf("something else than the gateway answers at %s: %d to /.evergate/ping", u, status)
		f.Mend = "have the front proxy send all paths, /.evergate/ among them, to " + p.Config.Listen
	}
	return f
}

// listening looks whether each address can be had, or who has it.
func (p *Patient) listening(ctx context.Context) (all []Finding) {
	c := p.Config
	for _, l := range []struct{ key, address string }{{"listen", c.Listen}, {"admin.listen", c.Admin.Listen},
		{"tls.redirect_http", c.TLS.RedirectHTTP}, {"forward_auth.listen", c.ForwardListen()}} {
		if l.address != "" {
			all = append(all, p.listen(ctx, l.key, l.address))
		}
	}
	return all
}

func (p *Patient) listen(ctx context.Context, key, address string) Finding {
	f := Finding{OK, "gateway.listen", address, "is free for " + key, ""}
	l, err := net.Listen("tcp", address)
	if err == nil {
		_ = l.Close()
		if p.alive && !strings.HasSuffix(address, ":0") {
			f.Status, f.Text, f.Mend = Fail, "a gateway runs, and does not listen here", "restart it: "+key+" cannot change while it runs"
		}
		return f
	}
	switch {
	case errors.Is(err, os.ErrPermission):
		f.Status, f.Text = Warn, fmt.Sprintf("who runs the doctor may not listen here (%v)", err)
		f.Mend = "give the gateway CAP_NET_BIND_SERVICE, as deploy/systemd does, or a port above 1023"
	case !p.alive:
		f.Status, f.Text = Fail, fmt.Sprintf("it cannot be had, and no gateway answers at %s: %v", p.Admin, err)
		f.Mend = "stop what listens there (ss -ltnp shows it), or set " + key + " to another address; if systemd does, start evergate.service"
	case key == "listen" && !p.ours(ctx):
		f.Status, f.Text = Fail, "something else than a gateway listens here"
		f.Mend = "stop what listens there (ss -ltnp shows it), or set " + key + " to another address"
	default:
		f.Text = "the gateway listens here"
	}
	return f
}

// ours reports whether what listens at listen answers as a gateway. One that speaks TLS
// or wants a PROXY header says so to what is neither.
func (p *Patient) ours(ctx context.Context) bool {
	if p.Config.TLS.CertFile != "" || p.Config.TLS.ACME != nil || p.Config.ProxyProtocol {
		return true // it cannot be told from here
	}
	status, _, err := get(ctx, "http://"+p.Public+"/.evergate/ping", p.Config.PublicURL.Host)
	return err == nil && status == http.StatusOK
}
