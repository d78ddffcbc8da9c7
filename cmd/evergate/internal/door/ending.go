package door

import (
	"crypto/x509"
	"fmt"
	"time"
)

// warnBefore is how long before its end a certificate is worth a warning. One that
// lives for some days is given a third of its life, or it would always be.
const warnBefore = 14 * 24 * time.Hour

// endsSoon says that a certificate has ended, or soon will; nil where it has time.
func endsSoon(leaf *x509.Certificate, now time.Time) error {
	left := leaf.NotAfter.Sub(now)
	switch {
	case left <= 0:
		return fmt.Errorf("the certificate ended on %s: browsers refuse it; put a new one in its place", day(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s: browsers refuse it, or the clock of this machine is wrong", day(leaf.NotBefore))
	case left < min(warnBefore, leaf.NotAfter.Sub(leaf.NotBefore)/3):
		return fmt.Errorf("the certificate ends on %s, in %s; put a new one in its place", day(leaf.NotAfter), about(left))
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// about is a time in the unit that people would use.
func about(d time.Duration) string {
	if days := int(d.Hours() / 24); days >= 2 {
		return fmt.Sprintf("%d days", days)
	}
	return d.Round(time.Minute).String()
}
