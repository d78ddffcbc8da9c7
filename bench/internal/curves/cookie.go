package curves

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/evergate/evergate/bench/internal/plot"
	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
	"github.com/evergate/evergate/internal/idp"
)

// cookied is a gateway whose sessions are in cookies.
type cookied struct {
	subject
	bytes, chunks int
}

// cookie measures sessions that are kept in cookies, of people of whom the provider says
// more and more.
func (b *bench) cookie(ctx context.Context) (res result, err error) {
	var sizes []*cookied
	var subjects []*subject
	for _, n := range b.Claims {
		s, err := b.withClaims(ctx, n)
		if err != nil {
			return res, fmt.Errorf("%d bytes of claims: %w", n, err)
		}
		defer s.servers[0].Kill()
		defer s.pool.Close()
		sizes, subjects = append(sizes, s), append(subjects, &s.subject)
	}
	if err := b.turns(ctx, subjects); err != nil {
		return res, err
	}
	first, last := sizes[0], sizes[len(sizes)-1]
	t := newTable("claims, bytes", counts(b.Claims))
	t.row("cookie", func(i int) string { return report.Count(sizes[i].bytes) + " B" })
	t.row("cookies that it is cut into", func(i int) string { return fmt.Sprint(sizes[i].chunks) })
	t.row("CPU for each request", func(i int) string { return sizes[i].cpu.Format("%.0f") + " µs" })
	t.row("request, p50 / p99", func(i int) string {
		return fmt.Sprintf("%.2f ms / %.2f ms", sizes[i].p50.Median(), sizes[i].p99.Median())
	})
	return result{t.String(), plot.Figure{
		Title: "Size of the cookie, without a store", X: "bytes of claims",
		Text: fmt.Sprintf("A session whose claims have %s bytes is %d bytes of cookie, and a request takes %.0f µs of CPU; with %s bytes it is %d bytes in %d cookies, and %.0f µs.",
			report.Count(b.Claims[0]), first.bytes, first.cpu.Median(), report.Count(b.Claims[len(b.Claims)-1]), last.bytes, last.chunks, last.cpu.Median()),
		Panels: []plot.Panel{
			{Y: "µs of CPU for each request", Series: []plot.Series{line("Evergate", b.Claims, func(i int) report.Rounds { return sizes[i].cpu })}},
			{Y: "bytes of cookie", Log: true, Series: []plot.Series{line("cookie", b.Claims, func(i int) report.Rounds { return one(float64(sizes[i].bytes)) })}},
		},
	}}, nil
}

// withClaims signs somebody in of whom the provider says about n bytes that cannot be
// packed.
func (b *bench) withClaims(ctx context.Context, n int) (*cookied, error) {
	provider, err := b.rig.Provider(time.Hour)
	if err != nil {
		return nil, err
	}
	said := make([]byte, n*3/4)
	_, _ = rand.Read(said)
	err = provider.SetUser(idp.User{Subject: "4711", Username: rig.User, Password: rig.Password, Name: "Alice", Email: "alice@example.com", EmailVerified: true,
		Claims: map[string]any{"preferred_username": rig.User, "department": base64.RawStdEncoding.EncodeToString(said)}})
	if err != nil {
		return nil, err
	}
	g, err := b.rig.NewGateway(ctx, rig.GatewayOptions{Store: "cookie", Provider: provider, Upstream: b.app.URL})
	if err != nil {
		return nil, err
	}
	if err := g.Start(ctx); err != nil {
		return nil, err
	}
	cookies, err := g.SignIn(ctx)
	if err != nil {
		return nil, err
	}
	s := &cookied{bytes: len(cookies), chunks: strings.Count(cookies, "; ") + 1}
	s.servers = []*rig.Process{g.Process}
	s.pool, err = newPool(ctx, []string{g.Address}, atOnce, g.Host, "/", []string{cookies})
	return s, err
}
