package pathrule_test

import (
	"testing"

	"github.com/evergate/evergate/internal/pathrule"
)

func TestCost(t *testing.T) {
	for _, row := range []struct {
		name, pattern string
		least, most   int
	}{
		{"one as usual", "^/old/(.*)$", 8, 20},
		{"one that repeats", "^/a{500}$", 500, 2000},
		{"one that repeats what repeats", "^/((a{9}){9}){9}$", 729, 4000},
		{"no expression", "(", 0, 0},
	} {
		if got := pathrule.Cost(row.pattern); got < row.least || got > row.most {
			t.Errorf("%s: got %d, want %d to %d", row.name, got, row.least, row.most)
		}
	}
}
