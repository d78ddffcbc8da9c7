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
	v.keep(ring.keys.Load(), 7, "app.example.com", "sealed", "in two")
	if got, ok := v.find(ring, "app.example.com", "sealed", "in two"); !ok || got != 7 {
		t.Errorf("got %d %v, want 7", got, ok)
	}
	for _, other := range [][]string{{"other.example.com", "sealed", "in two"}, {"app.example.com", "sealed"}, {"app.example.com", "sealed", "in tvo"}, {"app.example.com", "sealedin two"}} {
		if _, ok := v.find(ring, other[0], other[1:]...); ok {
			t.Errorf("it was found as %q", other)
		}
	}
	if err := ring.Replace(NewKey(time.Now())); err != nil {
		t.Fatal(err)
	}
	if _, ok := v.find(ring, "app.example.com", "sealed", "in two"); ok {
		t.Error("it was found under another ring")
	}
}

// TestVerdictsAreBounded: newer ones take the place of older ones, and the others stay.
func TestVerdictsAreBounded(t *testing.T) {
	ring := verdictRing(t)
	v := newVerdicts[int](maxVerdicts)
	for i := range 4 * maxVerdicts {
		v.keep(ring.keys.Load(), i, "h", fmt.Sprint(i))
	}
	held := 0
	for i := range 4 * maxVerdicts {
		if got, ok := v.find(ring, "h", fmt.Sprint(i)); ok {
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
		if _, ok := v.find(ring, "h", fmt.Sprint(i)); ok && i%2 == 0 {
			t.Fatalf("%d was dropped and is remembered", i)
		}
	}
}

// TestVerdictsCostNothing to find: they are looked for with every request.
func TestVerdictsCostNothing(t *testing.T) {
	ring := verdictRing(t)
	v := newVerdicts[int](maxVerdicts)
	value := fmt.Sprintf("%0250d", 1)
	v.keep(ring.keys.Load(), 1, "app.example.com", value)
	if n := testing.AllocsPerRun(100, func() { _, _ = v.find(ring, "app.example.com", value) }); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}
