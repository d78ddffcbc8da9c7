package proxy

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"time"
)

// Probed is what a target answered when nobody's request was at stake.
type Probed struct {
	// Target is its name, as in States.
	Target string
	// Status is that of its answer, and Took how long that was on its way.
	Status int
	Took   time.Duration
	// Certificate is the one that it showed; nil is without TLS.
	Certificate *x509.Certificate
	// Err says why there is no answer.
	Err error
}

// Probe asks each target for path, the way that requests go to it and on connections of
// its own. It says who asks and for nobody.
func (u *Upstream) Probe(ctx context.Context, path string) []Probed {
	all := make([]Probed, len(u.targets))
	for i, t := range u.targets {
		all[i] = u.probe(ctx, t, path)
	}
	return all
}

func (u *Upstream) probe(ctx context.Context, t *target, path string) Probed {
	p := Probed{Target: t.name}
	transport := newTransport(&u.options, t)
	transport.DisableKeepAlives = true
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url.String()+t.base+path, nil)
	if err != nil {
		p.Err = err
		return p
	}
	req.Header.Set("User-Agent", "evergate-doctor")
	if u.host != "" {
		req.Host = u.host
	}
	began := time.Now()
	res, err := transport.RoundTrip(req)
	if p.Took = time.Since(began); err != nil {
		p.Err = t.explain(err)
		return p
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	p.Status = res.StatusCode
	if res.TLS != nil && len(res.TLS.PeerCertificates) > 0 {
		p.Certificate = res.TLS.PeerCertificates[0]
	}
	return p
}
