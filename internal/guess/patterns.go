package guess

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// keys are rows and columns of keyboards, and alphabets.
var keys = []string{
	"abcdefghijklmnopqrstuvwxyz", "01234567890", "`1234567890-=", "^1234567890ß´",
	"qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiopü", "asdfghjklöä", "yxcvbnm,.-", "azertyuiop", "qsdfghjklm", "wxcvbn",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p", "qazwsxedcrfvtgbyhnujmikolp", "1q2w3e4r5t6y7u8i9o0p", "147258369", "789456123",
	"абвгдеёжзийклмнопрстуфхцчшщъыьэюя", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю",
}

// keyBits are those for which of the rows it is, where it begins and in which direction.
var keyBits = func() float64 {
	starts := 0
	for _, row := range keys {
		starts += 2 * len([]rune(row))
	}
	return math.Log2(float64(starts))
}()

const minRun = 3 // characters

// rows finds runs of keys that lie side by side, in either direction.
func (p *puzzle) rows() {
	for _, row := range keys {
		forth := []rune(row)
		back := slices.Clone(forth)
		slices.Reverse(back)
		for _, row := range [][]rune{forth, back} {
			for i := range p.lower {
				for at := range row {
					n := 0
					for i+n < len(p.lower) && at+n < len(row) && p.lower[i+n] == row[at+n] {
						n++
					}
					for n >= minRun {
						p.take(i, i+n, keyBits+math.Log2(float64(n))+p.upper(i, i+n))
						n--
					}
				}
			}
		}
	}
}

// repetitions finds what stands several times in a row: it costs what it does once, and how often.
func (p *puzzle) repetitions() {
	n := len(p.lower)
	for i := range n {
		for unit := 1; i+2*unit <= n; unit++ {
			times := 1
			for end := i + (times+1)*unit; end <= n && slices.Equal(p.lower[i:i+unit], p.lower[end-unit:end]); end += unit {
				times++
			}
			if times == 1 || unit*times < minRun {
				continue
			}
			once := p.between(i, i+unit)
			for k := times; k > 1; k-- {
				p.take(i, i+k*unit, once+math.Log2(float64(k))+p.upper(i+unit, i+k*unit))
			}
		}
	}
}

// between is the cheapest way from i to j, without the orders of its parts.
func (p *puzzle) between(i, j int) float64 {
	best := make([]float64, j-i+1)
	for b := i + 1; b <= j; b++ {
		best[b-i] = math.Inf(1)
		for a := i; a < b; a++ {
			best[b-i] = min(best[b-i], best[a-i]+p.cost[a][b])
		}
	}
	return best[j-i]
}

// What dates cost: any day of 120 years, written in one of a few ways, and a year alone.
const (
	dateBits = 15.42 + 2
	yearBits = 6.91
)

// dates finds days and years.
func (p *puzzle) dates() {
	for i := range p.lower {
		for _, n := range []int{4, 6, 7, 8, 9, 10} {
			if i+n > len(p.lower) {
				break
			}
			switch text := string(p.lower[i : i+n]); {
			case n == 4 && isYear(text):
				p.take(i, i+n, yearBits)
			case n > 4 && isDate(text):
				p.take(i, i+n, dateBits)
			}
		}
	}
}

// isYear reports whether text is one that people think of.
func isYear(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 1930 && n < 2050
}

// isDate reports whether text is a day, in whichever order its parts come.
func isDate(text string) bool {
	for _, mark := range []string{".", "-", "/", "_", " "} {
		if strings.Count(text, mark) == 2 {
			parts := strings.Split(text, mark)
			return isDay(parts[0], parts[1], parts[2])
		}
	}
	switch len(text) {
	case 6:
		return isDay(text[:2], text[2:4], text[4:])
	case 8:
		return isDay(text[:2], text[2:4], text[4:]) || isDay(text[:4], text[4:6], text[6:])
	}
	return false
}

func isDay(a, b, c string) bool {
	small := func(s string, most int) bool {
		n, err := strconv.Atoi(s)
		return err == nil && len(s) <= 2 && n > 0 && n <= most
	}
	two := func(x, y string) bool { return small(x, 31) && small(y, 12) || small(x, 12) && small(y, 31) }
	year := func(s string) bool { return isYear(s) || len(s) == 2 && strings.Trim(s, "0123456789") == "" }
	return two(a, b) && year(c) || year(a) && two(b, c)
}
