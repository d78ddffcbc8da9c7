package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/proxy"
)

// endsSoon is when a certificate should have been renewed.
const endsSoon = 14 * 24 * time.Hour

// upstreams has a group for each upstream that is another than those before.
func (p *Patient) upstreams() (all []group) {
	seen := map[string]bool{}
	for i := range p.Config.Routes {
		r := &p.Config.Routes[i]
		if r.Upstream == nil {
			continue
		}
		path := ""
		if h := r.Upstream.Health; h != nil {
			path = h.Path
		}
		if same := r.Upstream.String() + " " + r.Host + " " + path + " " + r.Upstream.Protocol; !seen[same] {
			seen[same] = true
			all = append(all, group{"upstream", r.Upstream.String(), func(ctx context.Context) []Finding { return p.upstream(ctx, r) }})
		}
	}
	return all
}

func (p *Patient) upstream(ctx context.Context, r *config.Route) (all []Finding) {
	o, err := p.Upstream(r)
	var up *proxy.Upstream
	if err == nil {
		up, err = proxy.NewUpstream(o)
	}
	if err != nil {
		return []Finding{{Fail, "upstream", r.Upstream.String(), err.Error(), "see to the file or the setting that it names"}}
	}
	defer up.Close()
	for _, answer := range up.Probe(ctx, "/") {
		all = append(all, p.target(answer))
	}
	if h := r.Upstream.Health; h != nil {
		for _, answer := range up.Probe(ctx, h.Path) {
			all = append(all, healthy(answer, h))
		}
	}
	return all
}

// target tells how one answered to GET /. Whatever a target says, it is there; only what
// it says of itself being broken is remarked on.
func (p *Patient) target(a proxy.Probed) Finding {
	f := Finding{OK, "upstream", a.Target, fmt.Sprintf("answers %d to GET / in %s", a.Status, round(a.Took)), ""}
	switch {
	case a.Err != nil:
		f.Status, f.Text, f.Mend = Fail, a.Err.Error(), mendTarget(a.Err)
	case a.Status >= 500:
		f.Status, f.Mend = Warn, "look into the app's log; if it wants another Host header, set host: upstream"
	case a.Certificate != nil && a.Certificate.NotAfter.Sub(p.Now()) < endsSoon:
		f.Status, f.Text = Warn, f.Text+"; its certificate ends on "+a.Certificate.NotAfter.UTC().Format(time.DateOnly)
		f.Mend = "renew it there"
	}
	return f
}

func mendTarget(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "refused"), strings.Contains(text, "no such file"):
		return "start the app, or set upstream to where it listens"
	case strings.Contains(text, "no such host"):
		return "look at the host in upstream, and at the resolver of this machine"
	case strings.Contains(text, "HTTP response to HTTPS"), strings.Contains(text, "first record does not look like"):
		return "it speaks plain http: write http:// in upstream"
	case strings.Contains(text, "certificate"), strings.Contains(text, "x509"):
		return "name the authority of its certificate in upstream.tls.ca_file, or its name in upstream.tls.server_name"
	case strings.Contains(text, "malformed HTTP"), strings.Contains(text, "HTTP/1.x"):
		return "it speaks something else: https (write https:// in upstream), HTTP/2 (protocol: h2c), or no HTTP at all"
	case strings.Contains(text, "permission denied"):
		return "give the gateway's user the right to write to the socket"
	}
	return "is it up, and does a firewall stand in between?"
}

func healthy(a proxy.Probed, h *config.Health) Finding {
	f := Finding{OK, "upstream.health", a.Target, fmt.Sprintf("%s answers %d in %s", h.Path, a.Status, round(a.Took)), ""}
	switch {
	case a.Err != nil:
		f.Status, f.Text, f.Mend = Fail, a.Err.Error(), mendTarget(a.Err)
	case a.Status < 200 || a.Status > 399:
		f.Status, f.Text = Fail, fmt.Sprintf("%s answers %d, want 200 to 399: the target gets no requests", h.Path, a.Status)
		f.Mend = "set health.path to what the app answers with 200 while it is well"
	case a.Took > h.Timeout:
		f.Status, f.Text = Fail, fmt.Sprintf("%s takes %s, and health.timeout is %s: the target gets no requests", h.Path, round(a.Took), round(h.Timeout))
		f.Mend = "raise health.timeout, or ask for something that is quicker"
	}
	return f
}
