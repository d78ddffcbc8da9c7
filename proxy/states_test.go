package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/evergate/evergate/proxy"
)

// TestStatesTellOfFailuresBeforeTheyTellOnATarget: an operator sees that requests fail
// where nothing is checked and no target is ever set aside.
func TestStatesTellOfFailuresBeforeTheyTellOnATarget(t *testing.T) {
	one := newApp(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(one)})
	for range 3 {
		gw.fetch(t, "GET", "/", nil)
	}
	s := way.States()[0]
	if s.Err != nil || s.Failed != 3 || s.Last == nil || !strings.Contains(s.Last.Error(), "503") || s.Requests != -1 {
		t.Errorf("got %+v, want three failures, the last one's cause, and nobody who counts requests", s)
	}
}

// TestStatesCountRequests that are under way, where there is something to choose.
func TestStatesCountRequests(t *testing.T) {
	inside, leave := make(chan bool), make(chan bool)
	hold := func(w http.ResponseWriter, r *http.Request) { inside <- true; <-leave }
	gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(newApp(t, hold), newApp(t, hold))})
	done := make(chan bool)
	for range 2 {
		go func() { gw.fetch(t, "GET", "/", nil); done <- true }()
	}
	<-inside
	<-inside
	if s := way.States(); s[0].Requests != 1 || s[1].Requests != 1 {
		t.Errorf("got %+v, want one request at each", s)
	}
	close(leave)
	<-done
	<-done
	if s := way.States(); s[0].Requests != 0 || s[1].Requests != 0 {
		t.Errorf("got %+v afterwards, want none", s)
	}
}
