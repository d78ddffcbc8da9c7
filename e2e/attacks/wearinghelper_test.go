package attacks

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// wearFull says that the counts of the catalogue are sent, instead of some that take a moment.
var wearFull = os.Getenv("EVERGATE_FULL") != ""

// wearCount is how many of something are sent, and says so.
func wearCount(t *testing.T, what string, few, all int) int {
	t.Helper()
	n := few
	if wearFull {
		n = all
	}
	t.Logf("%d %s (%d usually, %d with EVERGATE_FULL=1)", n, what, few, all)
	return n
}

// wearMemory is what the gateway holds now, and what it held at most since wearForget, in MiB. The
// pages of files count for neither: the kernel takes them back.
func (l *lab) wearMemory() (now, most int) {
	l.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.cmd.Process.Pid))
	if err != nil {
		l.t.Fatal(err)
	}
	kib := map[string]int{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		kib[name], _ = strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
	}
	return kib["RssAnon"] >> 10, (kib["VmHWM"] - kib["RssFile"]) >> 10
}

// wearForget has the kernel count the most anew (proc_pid_clear_refs(5)).
func (l *lab) wearForget() {
	l.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", l.cmd.Process.Pid), []byte("5"), 0o200); err != nil {
		l.t.Fatal(err)
	}
}

// wearBeside does f while somebody else uses the app, from another address: they are to be
// answered, within seconds, and the gateway may grow by that many MiB and no more. It
// returns how many requests of theirs the app got.
func (l *lab) wearBeside(mib int, f func()) (served int) {
	l.t.Helper()
	client := l.wearClient("127.0.0.99")
	defer client.CloseIdleConnections()
	stop, failed := make(chan struct{}), ""
	var took wearTimes
	ask := func() {
		start := time.Now()
		status, err := l.wearGet(client, "/public/beside")
		took.add(time.Since(start))
		served++
		if err != nil || status != http.StatusOK {
			failed = fmt.Sprintf("%d %v", status, err)
		}
	}
	ask() // they are there already
	var beside sync.WaitGroup
	l.wearForget()
	_, before := l.wearMemory()
	began := time.Now()
	beside.Go(func() {
		for {
			ask()
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	f()
	close(stop)
	beside.Wait()
	now, most := l.wearMemory()
	slowest := took.most(95) // a single one may meet with a stall of the machine
	l.t.Logf("it took %v; beside it %d requests were served, 95 of 100 within %v; memory %d MiB before, %d MiB at most, %d MiB in use now", time.Since(began).Round(time.Millisecond), served, slowest.Round(time.Millisecond), before, most, now)
	if failed != "" {
		l.t.Errorf("somebody else got %s meanwhile", failed)
	}
	if slowest > 3*time.Second {
		l.t.Errorf("somebody else waited %v meanwhile", slowest)
	}
	if most-before > mib {
		l.t.Errorf("the gateway grew from %d MiB to %d MiB, want %d MiB more at most", before, most, mib)
	}
	return served
}

// wearTimes are how long many of a kind took.
type wearTimes struct {
	mu  sync.Mutex // guards all
	all []time.Duration
}

func (w *wearTimes) add(took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, took)
}

// most is what so many of a hundred took at most; zero where there are none.
func (w *wearTimes) most(percent int) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == 0 {
		return 0
	}
	slices.Sort(w.all)
	return w.all[(len(w.all)-1)*percent/100]
}

// wearClient is one that comes from an address.
func (l *lab) wearClient(from string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: l.tlsConfig(gatewayHost), DialContext: dialer.DialContext, MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (l *lab) wearGet(client *http.Client, target string, lines ...string) (status int, err error) {
	req, err := http.NewRequest("GET", "https://"+l.address+target, nil)
	if err != nil {
		return 0, err
	}
	req.Host = l.host
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// wearDial connects as one of many addresses, for each may have 1024 connections.
func (l *lab) wearDial(i int) (net.Conn, error) {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/500))}}
	return d.Dial("tcp", l.address)
}

// wearShakes has few shake hands at a time: the gateway gives each of them header_timeout. On a busy
// machine one of a second is over all the same, so that it takes another try.
var wearShakes = make(chan struct{}, 8)

// wearTLS is wearDial with the handshake done; nil where the case has failed.
func (l *lab) wearTLS(t *testing.T, i int) net.Conn {
	wearShakes <- struct{}{}
	defer func() { <-wearShakes }()
	for tries := 1; ; tries++ {
		raw, err := l.wearDial(i)
		if err != nil {
			t.Error(err)
			return nil
		}
		start := time.Now()
		_ = raw.SetDeadline(start.Add(patience))
		c := tls.Client(raw, l.tlsConfig(gatewayHost, "http/1.1"))
		err = c.Handshake()
		if err == nil {
			return c
		}
		raw.Close()
		if took := time.Since(start); took < 900*time.Millisecond || tries == 5 {
			t.Errorf("handshake: %v after %v", err, took)
			return nil
		}
	}
}

// wearStatus sends bytes and reads the answer while it does, for the gateway may have had enough
// of them before they are all there. 0 is a connection that ended without one.
func (l *lab) wearStatus(raw string) int {
	l.t.Helper()
	c := l.dial(gatewayHost)
	defer c.Close()
	go func() { _, _ = io.WriteString(c, raw) }()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		if isTimeout(err) {
			l.t.Errorf("no answer to %d bytes that begin with %.40q", len(raw), raw)
		}
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// wearAll does f for 0 to n-1, all at once.
func wearAll(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// wearInTurn does f for 0 to n-1, eight at a time.
func wearInTurn(n int, f func(i int)) {
	next := make(chan int)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

// wearDialTLS connects with one application protocol.
func wearDialTLS(l *lab, protocol string) (*tls.Conn, error) {
	return tls.Dial("tcp", l.address, l.tlsConfig(gatewayHost, protocol))
}

// wearStore is what is in the session file, and when something was last put there, once nobody has
// written to it for a moment. Each minute the gateway sweeps, which writes, but changes nothing of
// that as long as no session is over.
func (l *lab) wearStore() string {
	l.t.Helper()
	var last []byte
	for range 100 {
		b, err := os.ReadFile(filepath.Join(l.dir, "data", "sessions.db"))
		if err != nil {
			l.t.Fatal(err)
		}
		if bytes.Equal(b, last) {
			return l.wearContents(b)
		}
		last = b
		time.Sleep(50 * time.Millisecond)
	}
	l.t.Fatal("the session file is written to all the time")
	return ""
}

// wearContents reads all buckets of a session file.
func (l *lab) wearContents(file []byte) string {
	l.t.Helper()
	name := filepath.Join(l.t.TempDir(), "sessions.db")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		l.t.Fatal(err)
	}
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		l.t.Fatal(err)
	}
	defer db.Close()
	var all strings.Builder
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(bucket []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				fmt.Fprintf(&all, "%s %x %x\n", bucket, k, v)
				return nil
			})
		})
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return all.String()
}
