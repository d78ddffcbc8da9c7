package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// tlsConfig is how to connect to t by TLS, in a copy, for transports write into it.
func (t *target) tlsConfig(o *UpstreamOptions) *tls.Config {
	c := o.TLS.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	if c.GetClientCertificate != nil {
		return c
	}
	mine := c.Certificates
	c.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		t.wantsCert.Store(true)
		for i := range mine {
			if info.SupportsCertificate(&mine[i]) == nil {
				return &mine[i], nil
			}
		}
		return &tls.Certificate{}, nil // none, as crypto/tls answers by itself
	}
	return c
}

// explain adds to an error what can be done about it, where TLS is the reason.
func (t *target) explain(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w; name its authority in the upstream's tls.ca_file, or its own name in tls.server_name", err)
	}
	op, ok := errors.AsType[*net.OpError](err)
	switch {
	case ok && op.Op == "dial" || isTimeout(err):
		return err
	case t.wantsCert.Load():
		// A certificate is refused after the handshake. The connection then just
		// breaks, and whether the alert is read before that is chance.
		return fmt.Errorf("%w; it asked for a client certificate, and may not accept what the upstream's tls.cert_file gave it", err)
	case ok && op.Op == "remote error":
		return fmt.Errorf("%w; it may serve another name than the upstream's tls.server_name", err)
	}
	return err
}
