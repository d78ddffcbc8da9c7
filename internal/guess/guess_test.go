package guess_test

import (
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/guess"
)

// enough are the guesses that the gateway asks for, 10^10, in bits.
const enough = 33.2

func TestOf(t *testing.T) {
	known := []string{"alice", "Alice Example", "alice@example.com", "wiki.example.org"}
	for _, c := range []struct {
		password string
		enough   bool
		common   bool
	}{
		{"correct horse battery", true, false},
		{"correct horse battery staple", true, false},
		{"other words in a row", true, false},
		{"a few words in a row", true, false},
		{"what nobody would think of", true, false},
		{"fourteen chars!", true, false},
		{"kt7Rw2pZq9vLx4M", true, false},
		{"pferd klammer heft", true, false},
		{"верный конь и батарейка", true, false},
		{"密码是一只会飞的蓝色大象朋友", true, false},

		{"", false, false},
		{"password", false, true},
		{"PassWord", false, true},
		{"iloveyou1", false, true},
		{"password1234567", false, false},
		{"P@ssw0rd12345678", false, false},
		{"drowssapdrowssap", false, false},
		{"passwordpassword", false, false},
		{"aaaaaaaaaaaaaaaaaaaa", false, false},
		{"abababababababab", false, false},
		{"abcdefghijklmnopqrs", false, false},
		{"zyxwvutsrqponmlkj", false, false},
		{"12345678901234567", false, false},
		{"qwertyuiopasdfgh", false, false},
		{"qwertzuiopasdfgh", false, false},
		{"1qaz2wsx3edc4rfv", false, false},
		{"йцукенгшщзхъфывап", false, false},
		{"alicealice1990xx", false, false},
		{"Alice.Example.1990", false, false},
		{"wiki.example.org1", false, false},
		{"alice@example.com", false, false},
		{"24.12.1990alice", false, false},
		{"24121990", false, false},
		{"monkeydragon2024", false, false},
		{"charlie-summer-1", false, false},
	} {
		got := guess.Of(c.password, known...)
		if got.Bits > enough != c.enough || got.Common != c.common {
			t.Errorf("%q: got %.1f bits, common %v; want enough %v, common %v", c.password, got.Bits, got.Common, c.enough, c.common)
		}
	}
	if with, without := guess.Of("meadowlark-quince", "meadowlark"), guess.Of("meadowlark-quince"); with.Bits >= without.Bits {
		t.Errorf("got %.1f bits with a word known and %.1f without", with.Bits, without.Bits)
	}
}

// TestOfTheLongest: what takes longest to look at does not keep a gateway busy.
func TestOfTheLongest(t *testing.T) {
	for _, unit := range []string{"a", "ab1!", "passw0rd", "\xff", "𝕬", "p4$$w0rd1!"} {
		began := time.Now()
		guess.Of(strings.Repeat(unit, 1024/len(unit)), strings.Repeat(unit, 20))
		if took := time.Since(began); took > 5*time.Second { // 0.05 s on a machine with nothing else to do
			t.Errorf("%q over and over: took %v", unit, took)
		}
	}
}

// FuzzOf: whatever it is, more of it takes no fewer guesses than none, and a word that is known
// makes none harder.
func FuzzOf(f *testing.F) {
	for _, s := range []string{"", "password", "\xff\xfe", "İİİ", "a\u0301b", "24.12.1990", "....", "000000", strings.Repeat("x", 200)} {
		f.Add(s, "alice")
	}
	f.Fuzz(func(t *testing.T, password, known string) {
		plain, helped := guess.Of(password), guess.Of(password, known)
		if plain.Bits < 0 || plain.Bits != plain.Bits || helped.Bits > plain.Bits {
			t.Errorf("%q: got %v bits, and %v with %q known", password, plain.Bits, helped.Bits, known)
		}
	})
}
