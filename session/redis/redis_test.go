package redis_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/redis"
	"github.com/evergate/evergate/session/redis/redistest"
	"github.com/evergate/evergate/session/sessiontest"
)

func open(t *testing.T, o redis.Options) *redis.Store {
	t.Helper()
	s, err := redis.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	wait(t, "it answers", func() bool {
		_, err := s.Now(t.Context())
		return err == nil
	})
	return s
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// exam runs the exam of all stores, each part under a prefix of its own.
func exam(t *testing.T, o redis.Options) {
	n := 0
	sessiontest.TestStore(t, func(t *testing.T) session.Store {
		n++
		o.Prefix = fmt.Sprintf("test%d[*]:", n)
		return open(t, o)
	})
}

func TestStore(t *testing.T) {
	exam(t, redis.Options{Addresses: []string{redistest.Start(t).Address()}})
}

func TestStoreWithoutTracking(t *testing.T) {
	exam(t, redis.Options{Addresses: []string{redistest.Start(t).Address()}, NoTracking: true})
}

func TestStoreOnACluster(t *testing.T) {
	exam(t, redis.Options{Addresses: []string{redistest.Cluster(t)[1].Address()}})
}

func TestStoreOnValkey(t *testing.T) {
	path, err := exec.LookPath("valkey-server")
	if err != nil {
		t.Skip("SKIPPED: valkey-server is not installed; Debian 12 has none")
	}
	exam(t, redis.Options{Addresses: []string{redistest.StartProgram(t, path).Address()}})
}

func TestStoreBehindSentinelsFailsOver(t *testing.T) {
	master, replica, sentinels := redistest.Sentinels(t, "main")
	o := redis.Options{Master: "main"}
	for _, s := range sentinels {
		o.Addresses = append(o.Addresses, s.Address())
	}
	exam(t, o)
	o.Prefix = "failover:"
	s := open(t, o)
	k := session.Key{1}
	if err := s.Put(t.Context(), k, 0, record(t, s, 1)); err != nil {
		t.Fatal(err)
	}
	replica.CLI("ping")
	wait(t, "the replica has it", func() bool { return replica.CLI("dbsize") == master.CLI("dbsize") })
	before := s.Epoch()
	for _, sentinel := range sentinels {
		sentinel.CLI("sentinel", "set", "main", "down-after-milliseconds", "1000")
	}
	master.Kill()
	wait(t, "the replica took over", func() bool { return s.Put(t.Context(), k, 1, record(t, s, 2)) == nil })
	if s.Epoch() == before {
		t.Error("the epoch stayed, want it raised: the replica may have missed the last writes")
	}
	if rec, err := s.Get(t.Context(), k, 2); err != nil || rec.Version != 2 {
		t.Errorf("got version %d, %v, want 2", rec.Version, err)
	}
}

// record is one that lives for an hour. The time is this machine's where the store
// is away.
func record(t *testing.T, s session.Store, version uint64) session.Record {
	t.Helper()
	now, err := s.Now(t.Context())
	if err != nil {
		now = time.Now()
	}
	return session.Record{Version: version, Expires: now.Add(time.Hour), Data: []byte("x")}
}

func TestWhatOneDeletesAllHaveLost(t *testing.T) {
	server := redistest.Start(t)
	a, b := open(t, redis.Options{Addresses: []string{server.Address()}}), open(t, redis.Options{Addresses: []string{server.Address()}})
	var worst time.Duration
	for i := range 200 {
		k := session.Key{byte(i), 1}
		if err := a.Put(t.Context(), k, 0, record(t, a, 1)); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second from memory
			if _, err := b.Get(t.Context(), k, 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Delete(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for {
			_, err := b.Get(t.Context(), k, 1)
			if errors.Is(err, session.ErrDeleted) {
				break
			}
			if err != nil {
				t.Fatalf("got %v, want the record and then ErrDeleted", err)
			}
			if time.Since(start) > 5*time.Second {
				t.Fatal("the other still has it")
			}
		}
		worst = max(worst, time.Since(start))
	}
	t.Logf("the other gateway knew after %v at the latest, of 200", worst)
}

func TestReadsAreAnsweredFromMemory(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, redis.Options{Addresses: []string{server.Address()}})
	k := session.Key{1}
	if err := s.Put(t.Context(), k, 0, record(t, s, 1)); err != nil {
		t.Fatal(err)
	}
	calls := func() (n int) {
		for line := range strings.Lines(server.CLI("info", "commandstats")) {
			if rest, ok := strings.CutPrefix(line, "cmdstat_get:calls="); ok {
				_, _ = fmt.Sscanf(rest, "%d", &n)
			}
		}
		return n
	}
	if _, err := s.Get(t.Context(), k, 0); err != nil {
		t.Fatal(err)
	}
	before := calls()
	for range 1000 {
		if _, err := s.Get(t.Context(), k, 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := calls() - before; n > 5 {
		t.Errorf("a thousand reads asked the server %d times, want it asked once in %v", n, 15*time.Second)
	}
}

func TestLostServerIsAnOutageAndItsReturnIsNoticed(t *testing.T) {
	server := redistest.Start(t, "appendonly", "yes", "appendfsync", "no") // what was answered outlives a kill -9
	s := open(t, redis.Options{Addresses: []string{server.Address()}, Timeout: time.Second})
	k := session.Key{1}
	if err := s.Put(t.Context(), k, 0, record(t, s, 1)); err != nil {
		t.Fatal(err)
	}
	for name, away := range map[string][2]func(){
		"killed":  {server.Kill, server.Run},
		"stopped": {func() { server.Signal(syscall.SIGSTOP) }, func() { server.Signal(syscall.SIGCONT) }},
	} {
		told := make(chan struct{}, 100)
		unwatch := s.Watch(k, func(bool) {
			select {
			case told <- struct{}{}:
			default:
			}
		})
		<-told
		before := s.Epoch()
		away[0]()
		wait(t, name+": an outage shows", func() bool { return s.Put(t.Context(), k, 1, record(t, s, 2)) != nil })
		err := s.Put(t.Context(), k, 1, record(t, s, 2))
		if err == nil || errors.Is(err, session.ErrNotFound) || errors.Is(err, session.ErrConflict) || !strings.Contains(err.Error(), server.Address()) {
			t.Errorf("%s: got %v, want an outage that names the server", name, err)
		}
		time.Sleep(3 * time.Second) // longer than a slow answer takes
		for len(told) > 0 {
			<-told
		}
		away[1]()
		wait(t, name+": it is back", func() bool {
			_, err := s.Get(t.Context(), session.Key{9}, session.Newest) // which memory does not answer
			return errors.Is(err, session.ErrNotFound)
		})
		if s.Epoch() == before {
			t.Errorf("%s: the epoch stayed, want it raised", name)
		}
		select {
		case <-told:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: who watches was not told", name)
		}
		unwatch()
		var rec session.Record
		wait(t, name+": the session is read", func() bool { // what was asked before it was back may fail yet
			rec, err = s.Get(t.Context(), k, 0)
			return err == nil || errors.Is(err, session.ErrNotFound)
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// What was sent while it hung may have been carried out.
		if rec.Version != 1 {
			if err := s.Delete(t.Context(), k); err != nil {
				t.Fatal(err)
			}
			k[1]++
			if err := s.Put(t.Context(), k, 0, record(t, s, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestServerThatIsDownAtTheStart(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	s, err := redis.Open(redis.Options{Addresses: []string{server.Address()}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Get(t.Context(), session.Key{1}, 0); err == nil || errors.Is(err, session.ErrNotFound) {
		t.Errorf("got %v, want an outage", err)
	}
	server.Run()
	wait(t, "it is found", func() bool {
		_, err := s.Get(t.Context(), session.Key{1}, 0)
		return errors.Is(err, session.ErrNotFound)
	})
}

func TestACLUserPasswordAndTLS(t *testing.T) {
	dir := t.TempDir()
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
		"-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1").CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: openssl: %v: %s", err, out)
	}
	server := redistest.Start(t, "user", "gate on >a-password ~eg:* -@all +@read +@write +@scripting +@transaction +@connection +@fast +info")
	plain := redis.Options{Addresses: []string{server.Address()}, Prefix: "eg:", Username: "gate",
		Password: func() (secret.Text, error) { return secret.New("a-password"), nil }}
	exercise(t, open(t, plain))

	wrong := plain
	wrong.Password = func() (secret.Text, error) { return secret.New("another"), nil }
	s, err := redis.Open(wrong)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Connect(); err == nil || !strings.Contains(err.Error(), "password_file") || strings.Contains(err.Error(), "another") {
		t.Errorf("a wrong password: got %v, want an error that names the setting and not the password", err)
	}

	secure := redistest.Start(t, "tls-cert-file", cert, "tls-key-file", key, "tls-auth-clients", "no", "tls-replication", "no")
	tlsPort := redistest.FreePort(t)
	if _, err := secure.TryCLI("config", "set", "tls-port", fmt.Sprint(tlsPort)); err != nil {
		t.Skipf("SKIPPED: this redis-server has no TLS: %v", err)
	}
	pem, err := exec.Command("cat", cert).Output()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	address := fmt.Sprintf("127.0.0.1:%d", tlsPort)
	exercise(t, open(t, redis.Options{Addresses: []string{address}, TLS: &tls.Config{RootCAs: pool}}))
	s, err = redis.Open(redis.Options{Addresses: []string{address}, TLS: &tls.Config{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Connect(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: got %v, want it refused", err)
	}
}

// exercise does each kind of thing once.
func exercise(t *testing.T, s *redis.Store) {
	t.Helper()
	k, h := session.Key{7}, session.Holder{1}
	rec := record(t, s, 1)
	rec.Tags, rec.Meta = []session.Tag{{3}}, []byte("meta")
	if err := s.Put(t.Context(), k, 0, rec); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), k, 1); err != nil {
		t.Error(err)
	}
	if _, err := s.Lease(t.Context(), k, h, time.Minute); err != nil {
		t.Error(err)
	}
	if err := s.Release(t.Context(), k, h); err != nil {
		t.Error(err)
	}
	if keys, err := s.Find(t.Context(), session.Tag{3}); err != nil || len(keys) != 1 {
		t.Errorf("found %d, %v, want 1", len(keys), err)
	}
	seen := 0
	if err := s.Scan(t.Context(), func(session.Key, session.Record) error { seen++; return nil }); err != nil || seen != 1 {
		t.Errorf("listed %d, %v, want 1", seen, err)
	}
	if err := s.Delete(t.Context(), k); err != nil {
		t.Error(err)
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	for _, o := range []redis.Options{{}, {Addresses: []string{"x:1"}, Prefix: "a{b}"}} {
		if _, err := redis.Open(o); err == nil {
			t.Errorf("%+v: got no error", o.Addresses)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	server := redistest.Start(b)
	s, err := redis.Open(redis.Options{Addresses: []string{server.Address()}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	rec := session.Record{Version: 1, Expires: time.Now().Add(time.Hour), Data: make([]byte, 900)}
	for s.Put(context.Background(), session.Key{1}, 0, rec) != nil {
		time.Sleep(10 * time.Millisecond)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(context.Background(), session.Key{1}, 0); err != nil {
			b.Fatal(err)
		}
	}
}
