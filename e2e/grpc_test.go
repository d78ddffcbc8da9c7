package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// talk is a gRPC service of one method, in which both sides say what they like.
// Its messages are strings: "wait" is answered after two seconds, "fail" ends the
// call with a status and a trailer.
func talk(name string) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{ServiceName: name, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
		StreamName: "Talk", ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, s grpc.ServerStream) error {
			md, _ := metadata.FromIncomingContext(s.Context())
			for {
				in := &wrapperspb.StringValue{}
				err := s.RecvMsg(in)
				if errors.Is(err, io.EOF) {
					s.SetTrailer(metadata.Pairs("said", "goodbye"))
					return nil
				}
				if err != nil {
					return err
				}
				switch in.Value {
				case "wait":
					time.Sleep(2 * time.Second)
				case "fail":
					s.SetTrailer(metadata.Pairs("why", "because"))
					return status.Error(codes.FailedPrecondition, "not like this: ä")
				}
				out := wrapperspb.String(strings.Join(append(md["x-forwarded-user"], in.Value), " says "))
				if token := strings.Join(md["authorization"], ""); strings.HasPrefix(token, "Bearer ey") {
					out.Value += ", with a token"
				}
				if strings.Contains(strings.Join(md["cookie"], ""), "evergate") {
					out.Value += ", and the gateway's cookie"
				}
				if err := s.SendMsg(out); err != nil {
					return err
				}
			}
		},
	}}}
}

// startGRPC starts a real gRPC server on a loopback port.
func startGRPC(t *testing.T, o ...grpc.ServerOption) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(o...)
	for _, name := range []string{"plain", "secure", "people"} {
		s.RegisterService(talk(name), nil)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); wg.Wait() })
	return l.Addr().String()
}

// TestGRPC has a real gRPC client talk to real servers through the gateway: over
// TLS in front, and with h2c and TLS behind it.
func TestGRPC(t *testing.T) {
	t.Parallel()
	certs := newCertificates(t)
	plain := startGRPC(t)
	second := startGRPC(t)
	secure := startGRPC(t, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{certs.pair}})))
	_, securePort, _ := net.SplitHostPort(secure)
	g := newSecureGateway(t, certs, fmt.Sprintf(`
identity: [ local: { users_file: users.yaml } ]
routes:
  - { public: true, match: { path: /plain/ }, timeouts: { response_header: 1s },
      upstream: { targets: ["http://%s", "http://%s"], protocol: h2c, balance: round_robin } }
  - { public: true, match: { path: /secure/ }, upstream: { targets: ["https://localhost:%s"], protocol: h2, tls: { ca_file: ca.pem } } }
  - { match: { path: /people/ }, upstream: { targets: ["http://%s"], protocol: h2c } }
  - { public: true, match: { path: /dead/ }, upstream: { targets: ["http://127.0.0.1:1"], protocol: h2c } }
  - { match: { path: / }, upstream: "http://127.0.0.1:1" }
`, plain, second, securePort, plain))
	conn, err := grpc.NewClient(strings.TrimPrefix(g.url, "https://"), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: certs.roots})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	open := func(service string, md ...string) grpc.ClientStream {
		t.Helper()
		ctx := metadata.AppendToOutgoingContext(t.Context(), md...)
		s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+service+"/Talk")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	say := func(s grpc.ClientStream, word string) (string, error) {
		if err := s.SendMsg(wrapperspb.String(word)); err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		out := &wrapperspb.StringValue{}
		err := s.RecvMsg(out)
		return out.Value, err
	}
	for _, service := range []string{"plain", "plain", "secure"} {
		s := open(service)
		for i := range 100 { // each is answered before the next is sent
			if got, err := say(s, fmt.Sprint(i)); got != fmt.Sprint(i) || err != nil {
				t.Fatalf("%s: got %q, %v, want %d", service, got, err, i)
			}
		}
		if got, err := say(s, "wait"); got != "wait" || err != nil {
			t.Errorf("%s: got %q, %v after a pause", service, got, err)
		}
		if err := s.CloseSend(); err != nil {
			t.Error(err)
		}
		if err := s.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
			t.Errorf("%s: got %v, want the end", service, err)
		}
		if got := s.Trailer()["said"]; len(got) != 1 || got[0] != "goodbye" {
			t.Errorf("%s: got trailers %v", service, s.Trailer())
		}
	}
	s := open("plain")
	if got, err := say(s, "wait"); got != "wait" || err != nil {
		t.Errorf("a first answer that comes later than a header may: got %q, %v", got, err)
	}
	s = open("plain")
	_, err = say(s, "fail")
	if st := status.Convert(err); st.Code() != codes.FailedPrecondition || st.Message() != "not like this: ä" || s.Trailer()["why"] == nil {
		t.Errorf("got %v with trailers %v, want the server's own status", err, s.Trailer())
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, err = conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/plain/Talk")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := say(s, "hi"); err != nil {
		t.Error(err)
	}
	cancel()
	if err := s.RecvMsg(&wrapperspb.StringValue{}); status.Code(err) != codes.Canceled {
		t.Errorf("got %v after the client left, want Canceled", err)
	}

	s = open("dead")
	if _, err := say(s, "hi"); status.Code(err) != codes.Unavailable {
		t.Errorf("the app is down: got %v, want Unavailable", err)
	}
	s = open("people")
	if _, err := say(s, "hi"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("nobody is signed in: got %v, want Unauthenticated", err)
	}
	s = open("people", "cookie", g.signIn(t))
	if got, err := say(s, "hi"); got != "ann says hi, with a token" || err != nil {
		t.Errorf("ann is signed in: got %q, %v", got, err)
	}
}

// secureGateway is an evergate that serves https.
type secureGateway struct {
	*process
	url      string
	client   *http.Client
	password string
}

func newSecureGateway(t *testing.T, certs *certificates, config string) *secureGateway {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	g := &secureGateway{url: "https://localhost:" + port, password: "a-password-for-the-evidence",
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: certs.roots}}}}
	certs.write(t, dir)
	file := writeFile(t, dir, "evergate.yaml", fmt.Sprintf("listen: 127.0.0.1:%s\npublic_url: %s\nadmin: { listen: 127.0.0.1:%s }\ntls: { cert_file: cert.pem, key_file: key.pem }\n%s",
		port, g.url, freePort(t), config))
	evergate(t, dir, g.password+"\n", "user", "add", "--config", file, "--groups", "staff", "--password-stdin", "ann")
	g.process = start(t, dir, binary, "serve", "--config", file)
	for range 1000 {
		res, err := g.client.Get(g.url + "/.evergate/ping")
		if err == nil {
			res.Body.Close()
			return g
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the gateway does not answer")
	return nil
}

// signIn signs ann in and returns her cookies, as a client sends them.
func (g *secureGateway) signIn(t *testing.T) string {
	t.Helper()
	p := newPerson(t)
	p.c.Transport = g.client.Transport
	p.signIn(g.url+"/", map[string]string{"username": "ann", "password": g.password})
	u, err := url.Parse(g.url)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range p.c.Jar.Cookies(u) {
		all = append(all, c.Name+"="+c.Value)
	}
	if len(all) == 0 {
		t.Fatal("no cookie came of the sign-in")
	}
	return strings.Join(all, "; ")
}
