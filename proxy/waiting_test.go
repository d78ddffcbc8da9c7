package proxy_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/proxy"
)

// TestWhoWaitsIsServedThoughAllAreOut: the last target goes sick, and is used all the same.
func TestWhoWaitsIsServedThoughAllAreOut(t *testing.T) {
	a := newBusyApp(t)
	gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: a.url(), Connections: 1, QueueTime: 2 * time.Second})
	var wg sync.WaitGroup
	wg.Go(func() { gw.fetch(t, "GET", "/", nil) })
	until(t, "one is under way", func() bool { return a.now.Load() == 1 })
	wg.Go(func() {
		got := gw.fetch(t, "GET", "/", nil)
		if got.StatusCode != 200 {
			t.Error("the target is idle, and who waited got 503")
		}
	})
	time.Sleep(100 * time.Millisecond)
	way.SetHealth(0, errors.New("sick"))
	close(a.release)
	wg.Wait()
}

// TestWhoWaitsIsServedByATargetThatComesBack, at once.
func TestWhoWaitsIsServedByATargetThatComesBack(t *testing.T) {
	one, two := newBusyApp(t), newBusyApp(t)
	gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(one.app, two.app), Connections: 1, QueueTime: 2 * time.Second})
	way.SetHealth(1, errors.New("sick"))
	var wg sync.WaitGroup
	wg.Go(func() { gw.fetch(t, "GET", "/", nil) })
	until(t, "one is under way", func() bool { return one.now.Load() == 1 })
	wg.Go(func() {
		got := gw.fetch(t, "GET", "/", nil)
		if got.StatusCode != 200 {
			t.Error("target two is in order and idle, and who waited got 503")
		}
		close(one.release)
	})
	time.Sleep(200 * time.Millisecond)
	close(two.release)
	way.SetHealth(1, nil)
	wg.Wait()
}

// TestWhoWaitsForATargetThatGoesIsServedByAnother, though its session is tied to the one.
func TestWhoWaitsForATargetThatGoesIsServedByAnother(t *testing.T) {
	one, two := newBusyApp(t), newBusyApp(t)
	gw, way, _ := pool(t, authFunc(byHeader), proxy.UpstreamOptions{Targets: targets(one.app, two.app), Sticky: true, Connections: 1, QueueTime: 2 * time.Second, EjectAfter: 1})
	var wg sync.WaitGroup
	wg.Go(func() { gw.fetch(t, "GET", "/", nil, "Who", "x") })
	until(t, "one is under way", func() bool { return one.now.Load()+two.now.Load() == 1 })
	i := 0
	mine := one
	if two.now.Load() == 1 {
		i, mine = 1, two
	}
	wg.Go(func() {
		got := gw.fetch(t, "GET", "/", nil, "Who", "x")
		if got.StatusCode != 200 {
			t.Error("the other target is idle, its own out")
		}
	})
	time.Sleep(100 * time.Millisecond)
	way.Fail(i)
	if mine == one {
		close(two.release)
	} else {
		close(one.release)
	}
	time.Sleep(2500 * time.Millisecond)
	close(mine.release)
	wg.Wait()
}
