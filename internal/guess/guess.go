// Package guess says how many guesses a password takes, for somebody who tries likely ones first:
// common passwords, words and names, what is known of its owner, rows of keys, repetitions, dates.
//
// It counts as zxcvbn does (Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX
// Security 2016): the cheapest way to put the password together of such parts. It keeps nothing
// between two calls: the lists are unpacked for each, for they would take 10 MB in a program that
// asks a few times a day.
package guess

import (
	"math"
	"strings"
	"unicode"
)

// Estimate is what is said of a password.
type Estimate struct {
	// Bits are the logarithm to the base 2 of the guesses.
	Bits float64
	// Common says that it is one of the most common passwords, as it stands.
	Common bool
}

const (
	// maxRunes is how much of a password is looked at. What comes after it counts for nothing,
	// and what is before it is enough.
	maxRunes = 64
	// anyBits are the guesses for a character that is part of nothing, and leastOne and least
	// those for a part of one and of several characters: nobody knows which of the lists it is of.
	anyBits = 3.3219280948873626 // of 10
	least   = 5.643856189774724  // of 50
)

// Of estimates a password. Known are words that are tried first: what its owner is called, and
// where it is for.
func Of(password string, known ...string) Estimate {
	runes := []rune(strings.ToValidUTF8(password, "\ufffd"))
	runes = runes[:min(len(runes), maxRunes)]
	p := &puzzle{runes: runes, lower: lowered(runes)}
	p.cost = make([][]float64, len(runes)+1)
	for i := range p.cost {
		p.cost[i] = make([]float64, len(runes)+1)
		for j := range p.cost[i] {
			p.cost[i][j] = anyBits * float64(j-i)
		}
	}
	common := p.words(known)
	p.rows()
	p.dates()
	p.repetitions() // of what was found by now
	return Estimate{Bits: p.cheapest(), Common: common && len(runes) == len([]rune(password))}
}

// puzzle is a password that is put together. Cost has the bits of each part of it, from one place
// to another.
type puzzle struct {
	runes, lower []rune
	cost         [][]float64
}

// take notes that the part from i to j takes no more guesses than bits.
func (p *puzzle) take(i, j int, bits float64) {
	if j-i > 1 && j-i < len(p.runes) {
		bits = max(bits, least)
	}
	p.cost[i][j] = min(p.cost[i][j], bits)
}

// cheapest is the whole, put together of its parts: their guesses, and the orders that they may
// come in.
func (p *puzzle) cheapest() float64 {
	n := len(p.runes)
	if n == 0 {
		return 0
	}
	before := make([]float64, n+1) // the cheapest way to each place by so many parts
	for i := range before {
		before[i] = math.Inf(1)
	}
	before[0] = 0
	best, orders := math.Inf(1), 0.0
	for parts := 1; parts <= n; parts++ {
		orders += math.Log2(float64(parts))
		after := make([]float64, n+1)
		after[0] = math.Inf(1)
		for j := 1; j <= n; j++ {
			after[j] = math.Inf(1)
			for i := range j {
				after[j] = min(after[j], before[i]+p.cost[i][j])
			}
		}
		best, before = min(best, after[n]+orders), after
	}
	return best
}

// upper is what a part costs more since it is not all in small letters.
func (p *puzzle) upper(i, j int) float64 {
	for k := i; k < j; k++ {
		if p.runes[k] != p.lower[k] {
			return 1
		}
	}
	return 0
}

func lowered(runes []rune) []rune {
	out := make([]rune, len(runes))
	for i, r := range runes {
		out[i] = unicode.ToLower(r)
	}
	return out
}
