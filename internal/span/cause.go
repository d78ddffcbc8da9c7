package span

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
)

// Other is the kind of a failure that has no name here, as the semantic conventions have it.
const Other = "_OTHER"

// Cause is of what kind an error is: one of few words. What the error says stays out, for
// it may tell what was asked.
func Cause(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case is[*net.DNSError](err):
		return "dns"
	case is[*tls.CertificateVerificationError](err), is[tls.RecordHeaderError](err), is[tls.AlertError](err):
		return "tls"
	case is[*net.OpError](err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "connection"
	}
	return Other
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
