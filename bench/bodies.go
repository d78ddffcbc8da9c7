package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

// bodies measures large bodies down and up.
func (b *bench) bodies(ctx context.Context) ([]goal, string, error) {
	g, cookies, err := b.gateway(ctx, rig.GatewayOptions{Upstream: b.app.URL})
	if err != nil {
		return nil, "", err
	}
	proxy, err := b.rig.Bare(ctx, b.app.URL)
	if err != nil {
		return nil, "", err
	}
	type figures struct{ rate, cpu report.Rounds } // MiB/s, ms
	type way struct {
		url     string
		process *rig.Process
		by      map[string]*figures
	}
	methods := []string{http.MethodGet, http.MethodPut}
	ways := []*way{{url: proxy.URL, process: proxy.Process}, {url: g.Base, process: g.Process}}
	for _, w := range ways {
		w.by = map[string]*figures{}
		for _, m := range methods {
			w.by[m] = &figures{}
			if _, err := transfer(ctx, m, w.url, cookies, min(b.body, 16<<20)); err != nil {
				return nil, "", err
			}
		}
	}
	for i := range b.few() {
		fmt.Fprintf(b.talk, "large bodies, round %d of %d\n", i+1, b.few())
		for _, m := range methods {
			for j := range ways {
				w := ways[(i+j)%len(ways)]
				before, err := w.process.CPU()
				if err != nil {
					return nil, "", err
				}
				took, err := transfer(ctx, m, w.url, cookies, b.body)
				if err != nil {
					return nil, "", fmt.Errorf("%w\n%s", err, w.process.Said())
				}
				after, err := w.process.CPU()
				if err != nil {
					return nil, "", err
				}
				f := w.by[m]
				f.rate = append(f.rate, float64(b.body)/(1<<20)/took.Seconds())
				f.cpu = append(f.cpu, micro(after-before)/1000)
			}
		}
	}
	proxy.Kill()
	if err := g.Stop(); err != nil {
		return nil, "", err
	}
	size := report.Size(b.body)
	if gib := b.body >> 30; gib<<30 == b.body {
		size = fmt.Sprintf("%d GiB", gib)
	}
	bare, ours := ways[0].by, ways[1].by
	row := func(name string, by map[string]*figures) []string {
		return []string{name, by[http.MethodGet].rate.Format("%.0f"), by[http.MethodGet].cpu.Format("%.0f"),
			by[http.MethodPut].rate.Format("%.0f"), by[http.MethodPut].cpu.Format("%.0f")}
	}
	return []goal{
			atLeast("body of "+size+" down: throughput", 0.97, " × bare", "%.2f", ours[http.MethodGet].rate.Over(bare[http.MethodGet].rate)),
			atLeast("body of "+size+" up: throughput", 0.97, " × bare", "%.2f", ours[http.MethodPut].rate.Over(bare[http.MethodPut].rate)),
		}, "Bodies of " + size + ", one at a time:\n\n" +
			table([]string{"", "down, MiB/s", "CPU, ms", "up, MiB/s", "CPU, ms"}, row("`httputil.ReverseProxy`", bare), row("Evergate", ours)), nil
}

// transfer moves a body of a size, down by GET and up by PUT.
func transfer(ctx context.Context, method, base, cookies string, size int64) (time.Duration, error) {
	transport := &http.Transport{DisableCompression: true, WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Minute}
	var body io.Reader
	if method == http.MethodPut {
		body = io.LimitReader(zeros{}, size)
	}
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s/body?size=%d", base, size), body)
	if err != nil {
		return 0, err
	}
	if body != nil {
		req.ContentLength = size
	}
	req.Header.Set("Cookie", cookies)
	began := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s of %d bytes: got %s, want 200", method, size, res.Status)
	}
	if method == http.MethodPut {
		told, err := io.ReadAll(io.LimitReader(res.Body, 64))
		if err != nil || string(told) != fmt.Sprint(size) {
			return 0, fmt.Errorf("PUT of %d bytes: the app got %q, %v", size, told, err)
		}
		return time.Since(began), nil
	}
	var got int64
	for b := make([]byte, 256<<10); ; {
		n, err := res.Body.Read(b)
		got += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("GET of %d bytes: %w after %d", size, err, got)
		}
	}
	if got != size {
		return 0, fmt.Errorf("GET of %d bytes: got %d", size, got)
	}
	return time.Since(began), nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
