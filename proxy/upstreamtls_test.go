package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/proxy"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	pair := a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "a CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	a.pool.AddCert(a.cert)
	return a
}

// issue signs a certificate, an authority's first by itself.
func (a *authority) issue(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestUpstreamTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.PeerCertificates[0].Subject.CommonName, " at ", r.TLS.ServerName)
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool,
		Certificates: []tls.Certificate{ours.issue(&x509.Certificate{DNSNames: []string{"wiki.internal"}})}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it has a line about each refusal
	server.StartTLS()
	defer server.Close()
	client := func(a *authority) []tls.Certificate {
		return []tls.Certificate{a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "gateway"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})}
	}
	for _, tt := range []struct {
		name   string
		config *tls.Config
		want   string // of the body, or of the log
		log    string
	}{
		{"all as it should be", &tls.Config{RootCAs: ours.pool, ServerName: "wiki.internal", Certificates: client(ours)}, "gateway at wiki.internal", ""},
		{"nothing set", nil, "", "tls.ca_file"},
		{"another authority", &tls.Config{RootCAs: theirs.pool, ServerName: "wiki.internal", Certificates: client(ours)}, "", "certificate signed by unknown authority"},
		{"another name", &tls.Config{RootCAs: ours.pool, ServerName: "blog.internal", Certificates: client(ours)}, "", "valid for wiki.internal, not blog.internal"},
		{"no name set", &tls.Config{RootCAs: ours.pool, Certificates: client(ours)}, "", "tls.server_name"},
		{"no client certificate", &tls.Config{RootCAs: ours.pool, ServerName: "wiki.internal"}, "", "it asked for a client certificate, and may not accept what the upstream's tls.cert_file gave it"},
		{"a stranger's client certificate", &tls.Config{RootCAs: ours.pool, ServerName: "wiki.internal", Certificates: client(theirs)}, "", "tls.cert_file"},
		{"nothing is checked", &tls.Config{InsecureSkipVerify: true, Certificates: client(ours)}, "gateway at ", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: server.URL, TLS: tt.config, EjectAfter: 1,
				Health: &proxy.HealthOptions{Path: "/", Interval: time.Hour, UnhealthyAfter: 1}})
			got := gw.fetch(t, "GET", "/", nil)
			if tt.log == "" {
				if got.StatusCode != 200 || got.body != tt.want {
					t.Errorf("got %d %q, want %q", got.StatusCode, got.body, tt.want)
				}
				return
			}
			if got.StatusCode != 502 {
				t.Errorf("got %d %q, want 502", got.StatusCode, got.body)
			}
			if strings.Contains(got.body, "tls") {
				t.Error("the page tells strangers what is inside")
			}
			if err := gw.note(t).Err; err == nil || !strings.Contains(err.Error(), tt.log) || !strings.Contains(err.Error(), server.URL) {
				t.Errorf("got in the log: %v\nwant in it: %s", err, tt.log)
			}
			until(t, "the health check fails alike", func() bool {
				err := way.States()[0].Err
				return err != nil && strings.Contains(err.Error(), "health checks")
			})
			if err := way.States()[0].Err.Error(); !strings.Contains(err, tt.log) {
				t.Errorf("the health check says %s", err)
			}
		})
	}
}
