package heap

import (
	"fmt"
	"os"
	"regexp"
	"testing"
)

// TestSettle: what a process has in memory of its program gets less, and it goes on.
func TestSettle(t *testing.T) {
	ofFile := func() (kb int) {
		b, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(b); m != nil {
			_, _ = fmt.Sscan(string(m[1]), &kb)
		}
		return kb
	}
	before := ofFile()
	Settle()
	after := ofFile()
	if before == 0 || after >= before {
		t.Errorf("of the program there were %d kB in memory, and are %d", before, after)
	}
	Settle() // once more harms nothing
}
