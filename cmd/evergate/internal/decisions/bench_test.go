package decisions_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/cmd/evergate/internal/decisions"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// BenchmarkDecided is what a request pays. Rules are asked, and read no header.
func BenchmarkDecided(b *testing.B) {
	for _, keep := range []int{0, 20} {
		for _, sessions := range []int{1, 500} {
			b.Run(fmt.Sprintf("keep=%d/sessions=%d", keep, sessions), func(b *testing.B) {
				decide := decider(b, keep, sessions)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					decide(i)
				}
			})
		}
	}
}

// BenchmarkDecidedParallel is the same by all processors at once.
func BenchmarkDecidedParallel(b *testing.B) {
	decide := decider(b, 20, 500)
	var from atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := int(from.Add(1)) * 97; pb.Next(); i++ {
			decide(i)
		}
	})
}

func decider(b *testing.B, keep, sessions int) func(i int) {
	cfg, err := config.Parse("evergate.yaml", []byte(file), func(string) (string, bool) { return "", false })
	if err != nil {
		b.Fatal(err)
	}
	route := &proxy.Route{Path: "/w/", Policy: auth.Policy{Allow: []*auth.Rule{{At: "routes[0].allow[0]", Groups: []string{"staff"}}}}, Answer: &proxy.Respond{Body: "ok"}}
	router, err := proxy.NewRouter([]*proxy.Route{route})
	if err != nil {
		b.Fatal(err)
	}
	log := decisions.New(decisions.Options{})
	e := log.Edition(cfg, router, keep)
	log.Begin(e)
	var requests []*http.Request
	var all []*proxy.Decision
	for i := range sessions {
		r := httptest.NewRequest("GET", "https://wiki.example.com/w/page?x=1", nil)
		note := &web.Note{ID: fmt.Sprint("r", i), Session: fmt.Sprintf("session-%d", i)}
		requests = append(requests, r.WithContext(web.WithNote(context.Background(), note)))
		login := &auth.Login{Identity: auth.Identity{User: "alice", Groups: []string{"staff"}}}
		all = append(all, &proxy.Decision{Outcome: proxy.Allowed, Route: route, Login: login, Target: proxy.Target{Path: "/w/page"}, Rule: route.Policy.Allow[0],
			Question: auth.Question{Identity: &login.Identity, Method: "GET", Host: "wiki.example.com", Path: "/w/page", Header: r.Header, Time: time.Now()}})
	}
	h := http.Header{}
	return func(i int) { e.Decided(h, requests[i%sessions], all[i%sessions]) }
}
