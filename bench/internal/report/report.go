// Package report puts what was measured into words: medians and spreads, and tables between
// the marks of a page.
package report

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Rounds are the figures of one thing, one for each round.
type Rounds []float64

// Median is the one in the middle, or the mean of the two there.
func (r Rounds) Median() float64 {
	if len(r) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(r))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Min and Max are the spread.
func (r Rounds) Min() float64 {
	if len(r) == 0 {
		return 0
	}
	return slices.Min(r)
}

// Max is the other end of it.
func (r Rounds) Max() float64 {
	if len(r) == 0 {
		return 0
	}
	return slices.Max(r)
}

// Over is each round's figure by that of another thing in the same round.
func (r Rounds) Over(base Rounds) Rounds {
	all := make(Rounds, min(len(r), len(base)))
	for i := range all {
		all[i] = r[i] / base[i]
	}
	return all
}

// Format writes median and spread, each as format says.
func (r Rounds) Format(format string) string {
	return fmt.Sprintf(format+" ("+format+"–"+format+")", r.Median(), r.Min(), r.Max())
}

// Latencies are how long requests took, in order.
type Latencies []time.Duration

// At is the quantile q, and the longest for 1.
func (l Latencies) At(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(int(q*float64(len(l))), len(l)-1)]
}

// Size writes bytes in MiB.
func Size(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// Milli writes a time in milliseconds.
func Milli(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// Count writes 1000000 as 1,000,000.
func Count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Between puts text between the marks of a name in a page:
//
//	<!-- bench curve sessions: begin -->
//	<!-- bench curve sessions: end -->
func Between(file, name, text string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->\n"
	before, rest, ok1 := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no marks %q and %q: put them where the table goes", file, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	if text == "" {
		return errors.New("there is nothing to put between the marks of " + name)
	}
	return os.WriteFile(file, []byte(before+begin+strings.TrimSuffix(text, "\n")+"\n"+end+after), 0o644)
}
