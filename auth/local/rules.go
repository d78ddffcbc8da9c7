package local

import (
	"strings"
	"unicode/utf8"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/guess"
)

// Rules are what a new password has to be. There are none about its letters: what makes a
// password hard to guess is its length, and that nobody would think of it (NIST SP 800-63B-4
// section 3.1.1.2). The zero value is that of a password that is the only factor.
type Rules struct {
	// Min is the least length, in characters; zero is auth.MinPassword.
	Min int
	// Host is the gateway's: what anybody tries first who is there.
	Host string
}

// minGuesses is the least number of guesses that a password takes, as the logarithm to the base
// 2: 10^10. Throttled as sign-ins are, that is out of reach; it is for whoever has a copy of the hashes,
// each guess at which takes 64 MiB and a tenth of a second.
const minGuesses = 33.219280948873624

func (r Rules) min() int {
	if r.Min > 0 {
		return r.Min
	}
	return auth.MinPassword
}

// Wrong says why next is not taken as the password of a user, by one of the constants of package
// auth; "" is that it is.
func (r Rules) Wrong(u User, next string) string {
	switch {
	case !utf8.ValidString(next):
		return auth.PasswordNoText
	case len(next) > auth.MaxPassword:
		return auth.PasswordLong
	case utf8.RuneCountInString(next) < r.min():
		return auth.PasswordShort
	case u.Name != "" && strings.TrimSpace(strings.ReplaceAll(strings.ToLower(next), strings.ToLower(u.Name), "")) == "":
		return auth.PasswordName
	}
	switch e := guess.Of(next, u.Name, u.DisplayName, u.Email, r.Host); {
	case e.Common:
		return auth.PasswordCommon
	case e.Bits < minGuesses:
		return auth.PasswordGuessed
	}
	return ""
}
