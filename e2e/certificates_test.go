package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certificates are an authority and what it says of localhost, and of further names.
type certificates struct {
	ca, cert, key []byte // PEM
	pair          tls.Certificate
	roots         *x509.CertPool
}

func newCertificates(t *testing.T, names ...string) *certificates {
	t.Helper()
	sign := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
		template.SerialNumber = big.NewInt(time.Now().UnixNano())
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	authority := &x509.Certificate{Subject: pkix.Name{CommonName: "the tests' own"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, caKey := sign(authority, authority, nil)
	der, key := sign(&x509.Certificate{DNSNames: append(names, "localhost"), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, authority, caKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := &certificates{roots: x509.NewCertPool(),
		ca:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})}
	if c.pair, err = tls.X509KeyPair(c.cert, c.key); err != nil || !c.roots.AppendCertsFromPEM(c.ca) {
		t.Fatal("certificates: ", err)
	}
	return c
}

// write puts ca.pem, cert.pem and key.pem into dir.
func (c *certificates) write(t *testing.T, dir string) {
	t.Helper()
	writeFile(t, dir, "ca.pem", string(c.ca))
	writeFile(t, dir, "cert.pem", string(c.cert))
	writeFile(t, dir, "key.pem", string(c.key))
}

func writeFile(t *testing.T, dir, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
