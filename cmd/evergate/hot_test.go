package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/cmd/evergate/internal/door"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/proxy"
)

var _ = door.Door{}
var _ = proxy.Allowed

func cpuNow() time.Duration {
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func TestMainHotUpstream(t *testing.T) {
	if os.Getenv("HOT_UP") == "" {
		t.Skip()
	}
	l, _ := net.Listen("tcp", os.Getenv("HOT_UP"))
	body := bytes.Repeat([]byte("x"), 1024)
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "1024")
		w.Write(body)
	}))
}

func TestHot(t *testing.T) {
	runtime.MemProfileRate = 512
	if os.Getenv("HOT") == "" {
		t.Skip()
	}
	up := "127.0.0.1:19901"
	cmd := exec.Command(os.Args[0], "-test.run", "TestMainHotUpstream", "-test.timeout", "0")
	cmd.Env = append(os.Environ(), "HOT_UP="+up)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	time.Sleep(time.Second)
	hash, _ := local.NewHasher(1).Hash(t.Context(), testPassword)
	dir := t.TempDir()
	_ = config.SaveUsers(filepath.Join(dir, "users.yaml"), []config.User{{Name: "alice", Password: hash, Email: "alice@example.com", Groups: []string{"staff"}}})
	file := filepath.Join(dir, "evergate.yaml")
	key := newKeyFile(t)
	os.WriteFile(file, []byte("listen: 127.0.0.1:19902\npublic_url: http://localhost:19902\ndata_dir: "+dir+"/data\nkeys: {files: ["+key+"]}\nadmin: {listen: 127.0.0.1:19903}\nidentity: [ local: { users_file: users.yaml } ]\n"+os.Getenv("HOT_CONF")+"\nroutes:\n  - { upstream: \"http://"+up+"\" }\n"), 0o600)
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	logFile, _ := os.Create(filepath.Join(dir, "log"))
	log, control := newLog(logFile, cfg.Log)
	defer control.Close()
	g, err := build(cfg, log, parts{Log: control})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	sockets, err := openListeners(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	told := &serviceManager{log: log}
	s := startServers(g, log, sockets, told)
	_ = s
	// bare
	target, _ := url.Parse("http://" + up)
	bare := &httputil.ReverseProxy{
		Rewrite:    func(p *httputil.ProxyRequest) { p.SetURL(target); p.SetXForwarded(); p.Out.Host = p.In.Host },
		BufferPool: hotBuffers{},
		Transport: &http.Transport{DisableCompression: true, MaxIdleConns: 256, MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second, ResponseHeaderTimeout: 60 * time.Second,
			DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext},
	}
	bl, _ := net.Listen("tcp", "127.0.0.1:19904")
	go (&http.Server{Handler: bare, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 120 * time.Second}).Serve(bl)
	// sign in
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, _ := http.NewRequest("POST", "http://localhost:19902/.evergate/login", strings.NewReader(url.Values{"username": {"alice"}, "password": {testPassword}, "rd": {"/"}}.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "http://localhost:19902")
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	cookie := ""
	for _, ck := range res.Cookies() {
		if ck.Name == g.cookie || strings.HasPrefix(ck.Name, g.cookie) {
			cookie += ck.Name + "=" + ck.Value + "; "
		}
	}
	if cookie == "" {
		t.Fatal(res.Status, string(b))
	}
	cookie = strings.TrimSuffix(cookie, "; ")
	count := regexp.MustCompile(`(\d+) requests in`)
	load := func(addr string, d int) time.Duration {
		var m0, m1 runtime.MemStats
		runtime.ReadMemStats(&m0)
		before := cpuNow()
		out, err := exec.Command("wrk", "-t1", "-c16", "-d"+strconv.Itoa(d)+"s", "-H", "Cookie: "+cookie, "-H", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
			"-H", "Accept: text/html,application/xhtml+xml", "-H", "Accept-Language: en-US,en;q=0.5", "-H", "Accept-Encoding: gzip, deflate, br", "http://"+addr+"/page?x=1").CombinedOutput()
		if err != nil {
			t.Fatal(err, string(out))
		}
		used := cpuNow() - before
		m := count.FindSubmatch(out)
		if m == nil || bytes.Contains(out, []byte("Non-2xx")) {
			t.Fatal(string(out))
		}
		n, _ := strconv.Atoi(string(m[1]))
		runtime.ReadMemStats(&m1)
		fmt.Println("N", addr, n, "allocs", (m1.Mallocs-m0.Mallocs)/uint64(n), "bytes", (m1.TotalAlloc-m0.TotalAlloc)/uint64(n), "gcs", m1.NumGC-m0.NumGC, "live", m1.HeapAlloc>>20)
		return used / time.Duration(n)
	}
	rounds := 7
	if p := os.Getenv("HOT_PROF"); p != "" {
		load("localhost:19902", 1)
		for _, one := range [][2]string{{"bare", "localhost:19904"}, {"gate", "localhost:19902"}} {
			f, _ := os.Create(p + "." + one[0])
			pprof.StartCPUProfile(f)
			load(one[1], 8)
			pprof.StopCPUProfile()
			f.Close()
		}
		f, _ := os.Create(p + ".allocs")
		pprof.Lookup("allocs").WriteTo(f, 0)
		f.Close()
		rounds = 3
	}
	var ratios []float64
	for i := range rounds {
		var a, b time.Duration
		if i%2 == 0 {
			a, b = load("localhost:19902", 2), load("localhost:19904", 2)
		} else {
			b = load("localhost:19904", 2)
			a = load("localhost:19902", 2)
		}
		ratios = append(ratios, float64(a)/float64(b))
		fmt.Println("gate", a, "bare", b, float64(a)/float64(b))
	}
	slices.Sort(ratios)
	fmt.Printf("median %.3f\n", ratios[len(ratios)/2])
}

type hotBuffers struct{}

func (hotBuffers) Get() []byte  { return hotPool.Get().(*[32 << 10]byte)[:] }
func (hotBuffers) Put(b []byte) { hotPool.Put((*[32 << 10]byte)(b)) }
var hotPool = sync.Pool{New: func() any { return new([32<<10]byte) }}
