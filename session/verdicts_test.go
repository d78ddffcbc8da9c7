package session

import (
	"fmt"
	"testing"
	"time"
)

func verdictRing(t *testing.T) *Ring {
	t.Helper()
	ring, err := NewRing(NewKey(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// TestVerdictsAreThoseOfTheirRing: one by keys that were replaced is not found.
func TestVerdictsAreThoseOfTheirRing(t *testing.T) {
	ring := verdictRing(t)
	v := newVerdicts[int](maxVerdicts)
	name := verdictName("app.example.com", "sealed")
	v.keep(name, ring.keys.Load(), 7)
	if got, ok := v.find(name, ring); !ok || got != 7 {
		t.Errorf("got %d %v, want 7", got, ok)
	}
	if _, ok := v.find(verdictName("other.example.com", "sealed"), ring); ok {
		t.Error("it was found on another host")
	}
	if err := ring.Replace(NewKey(time.Now())); err != nil {
		t.Fatal(err)
	}
	if _, ok := v.find(name, ring); ok {
		t.Error("it was found under another ring")
	}
}

// TestVerdictsAreBounded: newer ones take the place of older ones, and the others stay.
func TestVerdictsAreBounded(t *testing.T) {
	ring := verdictRing(t)
	v := newVerdicts[int](maxVerdicts)
	for i := range 4 * maxVerdicts {
		v.keep(verdictName("h", fmt.Sprint(i)), ring.keys.Load(), i)
	}
	held := 0
	for i := range 4 * maxVerdicts {
		if got, ok := v.find(verdictName("h", fmt.Sprint(i)), ring); ok {
			held++
			if got != i {
				t.Fatalf("%d: got %d", i, got)
			}
		}
	}
	if held == 0 || held > maxVerdicts {
		t.Errorf("%d are remembered, want at most %d", held, maxVerdicts)
	}
	v.drop(func(i int) bool { return i%2 == 0 })
	for i := range 4 * maxVerdicts {
		if _, ok := v.find(verdictName("h", fmt.Sprint(i)), ring); ok && i%2 == 0 {
			t.Fatalf("%d was dropped and is remembered", i)
		}
	}
}

// TestVerdictNamesAllocateNothing, for they are made for every request.
func TestVerdictNamesAllocateNothing(t *testing.T) {
	value := fmt.Sprintf("%0250d", 1)
	if n := testing.AllocsPerRun(100, func() { _ = verdictName("app.example.com", value) }); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}
