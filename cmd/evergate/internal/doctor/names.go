package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evergate/evergate/config"
)

// hosts are the names that people come by, those of public_url first. A wildcard is
// asked for by a name below it.
func (p *Patient) hosts() []string {
	hosts := p.Config.Hosts()
	for i := range p.Config.Routes {
		if h := strings.TrimSuffix(p.Config.Routes[i].Match.Host, "."); strings.HasPrefix(h, "*.") && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// names looks the hosts up as this machine sees them, which others may not.
func (p *Patient) names(ctx context.Context) []Finding {
	hosts := p.hosts()
	all := make([]Finding, len(hosts))
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i, host := range hosts {
		wg.Go(func() { all[i] = lookUp(ctx, host) })
	}
	wg.Wait()
	return all
}

func lookUp(ctx context.Context, host string) Finding {
	f := Finding{OK, "dns", host, "", ""}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		f.Text = "is an address, which nobody has to look up"
		return f
	}
	if config.IsLoopback(host) {
		f.Text = "is this machine, whatever a name server says"
		return f
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, strings.Replace(host, "*", "evergate-doctor", 1))
	dns, _ := errors.AsType[*net.DNSError](err)
	switch {
	case err == nil:
		slices.Sort(addresses)
		f.Text = "is " + strings.Join(addresses, ", ") + ", as seen from here"
	case dns != nil && dns.IsNotFound:
		f.Status, f.Text = Warn, "is not known here"
		f.Mend = "add an A or AAAA record; if browsers ask another name server than this machine, ask there: dig " + host
	default:
		f.Status, f.Text, f.Mend = Skip, fmt.Sprintf("it cannot be told: no name server answers (%v)", err), "look at /etc/resolv.conf"
	}
	return f
}

// certificates looks at the files that the gateway serves https with.
func (p *Patient) certificates(context.Context) []Finding {
	t := p.Config.TLS
	f := Finding{Skip, "tls", "", "", ""}
	switch {
	case t.ACME != nil:
		f.Text = "certificates are got by ACME; gateway.admin tells of trouble with them while the gateway runs"
		return []Finding{f}
	case t.CertFile == "" && p.Config.PublicURL.Scheme == "http":
		f.Text = "public_url is plain http, for this machine alone"
		return []Finding{f}
	case t.CertFile == "":
		f.Text = "a front proxy speaks https, and has the certificate"
		return []Finding{f}
	}
	f.Status, f.About = OK, t.CertFile
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		f.Status, f.Text, f.Mend = Fail, err.Error(), "put the chain (PEM) into tls.cert_file and its key into tls.key_file"
		return []Finding{f}
	}
	left := pair.Leaf.NotAfter.Sub(p.Now())
	ends := pair.Leaf.NotAfter.UTC().Format(time.DateOnly)
	var strange []string
	for _, host := range p.hosts() {
		if pair.Leaf.VerifyHostname(strings.Replace(host, "*", "evergate-doctor", 1)) != nil {
			strange = append(strange, host)
		}
	}
	switch {
	case left < 0:
		f.Status, f.Text, f.Mend = Fail, "it ended on "+ends, "renew it; a running gateway reads it again by itself"
	case p.Now().Before(pair.Leaf.NotBefore):
		f.Status, f.Text, f.Mend = Fail, "it begins on "+pair.Leaf.NotBefore.UTC().Format(time.DateOnly), "look at the clock of this machine"
	case len(strange) > 0:
		f.Status, f.Text = Fail, "it is not for "+strings.Join(strange, ", ")+", and browsers refuse it there"
		f.Mend = "get one that names all hosts; this one names " + orNone(pair.Leaf.DNSNames)
	case left < endsSoon:
		f.Status, f.Text, f.Mend = Warn, "it is for all hosts, and ends on "+ends, "renew it; a running gateway reads it again by itself"
	case pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore) > 0 && len(pair.Certificate) == 1 && pair.Leaf.Issuer.String() != pair.Leaf.Subject.String():
		f.Status, f.Text = Warn, "it is for all hosts, until "+ends+", and comes without the certificate of who issued it ("+pair.Leaf.Issuer.CommonName+"), which some clients lack"
		f.Mend = "put the whole chain into tls.cert_file (fullchain.pem)"
	default:
		f.Text = "is for all hosts, until " + ends
	}
	return []Finding{f}
}
