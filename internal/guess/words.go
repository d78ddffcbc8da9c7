package guess

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/ccojocar/zxcvbn-go/data"
)

// lists are of words, the most frequent first. Of that package the data alone is used: the rest of
// it unpacks all of them as a program starts.
var lists = []string{passwords, "data/English.json", "data/FemaleNames.json", "data/MaleNames.json", "data/Surnames.json"}

const passwords = "data/Passwords.json"

const minWord, maxWord = 2, 32 // characters

// place is where a word may stand, and what it costs besides its rank.
type place struct {
	from, to int
	more     float64
}

// words finds those of the lists and those that are known. Common says that the whole is one of the
// most common passwords.
func (p *puzzle) words(known []string) (common bool) {
	places := p.places()
	found := func(word string, rank int) {
		for _, at := range places[word] {
			p.take(at.from, at.to, math.Log2(float64(rank))+at.more)
		}
	}
	rank := 1
	for _, text := range known {
		text = strings.ToLower(text)
		for _, word := range append(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), text) {
			if len([]rune(word)) > minWord {
				found(word, rank)
				rank++
			}
		}
	}
	whole := string(p.lower)
	for _, list := range lists {
		rank := 1
		for word := range entries(list) {
			if len(places[string(word)]) > 0 { // which does not copy it
				found(string(word), rank)
				common = common || list == passwords && string(word) == whole
			}
			rank++
		}
	}
	return common
}

// entries yields the words of a list: all strings of its JSON but the first, which is a key.
// None has an escape in it.
func entries(list string) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		text, err := data.Asset(list)
		if err != nil {
			panic("guess: " + err.Error()) // it is part of the program
		}
		_, text, _ = bytes.Cut(text, []byte(`[`))
		for {
			_, rest, ok := bytes.Cut(text, []byte(`"`))
			if !ok {
				return
			}
			word, rest, _ := bytes.Cut(rest, []byte(`"`))
			if !yield(word) {
				return
			}
			text = rest
		}
	}
}

// places are the words that the password may have in it: as it stands, backwards, and with letters
// in the place of what looks like them.
func (p *puzzle) places() map[string][]place {
	all := map[string][]place{}
	n := len(p.lower)
	spellings := [][]rune{p.lower}
	for _, one := range []rune{'i', 'l'} {
		if s := spelled(p.lower, one); !slices.Equal(s, p.lower) {
			spellings = append(spellings, s)
		}
	}
	back := slices.Clone(p.lower)
	slices.Reverse(back)
	for i := range n {
		for j := i + minWord; j <= min(n, i+maxWord); j++ {
			plain := p.lower[i:j]
			for k, s := range spellings {
				if k == 0 || !slices.Equal(s[i:j], plain) {
					all[string(s[i:j])] = append(all[string(s[i:j])], place{i, j, p.upper(i, j) + float64(min(k, 1))})
				}
			}
			if b := back[n-j : n-i]; j-i > minWord && !slices.Equal(b, plain) {
				all[string(b)] = append(all[string(b)], place{i, j, p.upper(i, j) + 1})
			}
		}
	}
	if n > maxWord {
		all[string(p.lower)] = append(all[string(p.lower)], place{0, n, p.upper(0, n)})
	}
	return all
}

// alike are the letters that signs stand for.
var alike = map[rune]rune{'0': 'o', '3': 'e', '4': 'a', '5': 's', '6': 'g', '7': 't', '8': 'b', '9': 'g', '@': 'a', '$': 's', '+': 't', '(': 'c'}

// spelled has letters in the place of signs, where 1 and its like are the letter one.
func spelled(runes []rune, one rune) []rune {
	out := slices.Clone(runes)
	for i, r := range out {
		if letter, ok := alike[r]; ok {
			out[i] = letter
		} else if r == '1' || r == '!' || r == '|' {
			out[i] = one
		}
	}
	return out
}
