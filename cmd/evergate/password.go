package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/internal/secret"
)

// newPassword makes a password that can be read aloud and typed: five groups
// of four letters, about 100 bits.
func newPassword() secret.Text {
	s := strings.ToLower(rand.Text())[:20]
	return secret.New(s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:])
}

// readPassword reads a new password: the first line of stdin, or typed twice.
func (p *program) readPassword(fromStdin bool) (secret.Text, error) {
	var first secret.Text
	f, isFile := p.in.(*os.File)
	switch {
	case fromStdin:
		line, err := bufio.NewReader(io.LimitReader(p.in, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return secret.Text{}, fmt.Errorf("read the password: %w", err)
		}
		first = secret.New(strings.TrimRight(line, "\r\n"))
	case isFile && term.IsTerminal(int(f.Fd())):
		var typed [2][]byte
		for i, ask := range []string{"Password: ", "Again: "} {
			fmt.Fprint(p.err, ask)
			b, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(p.err)
			if err != nil {
				return secret.Text{}, fmt.Errorf("read the password: %w", err)
			}
			typed[i] = b
		}
		if string(typed[0]) != string(typed[1]) {
			return secret.Text{}, errors.New("the two passwords differ; nothing was changed")
		}
		first = secret.New(string(typed[0]))
	default:
		return secret.Text{}, &misuse{errors.New("there is no terminal to ask for the password"), "--password-stdin"}
	}
	return first, nil
}

// wrongPassword says what rules have against a password.
func wrongPassword(why string, rules local.Rules) error {
	switch why {
	case auth.PasswordShort:
		least := rules.Min
		if least == 0 {
			least = auth.MinPassword
		}
		return fmt.Errorf("the password is too short: it needs %d characters", least)
	case auth.PasswordLong:
		return fmt.Errorf("the password is longer than %d bytes", auth.MaxPassword)
	case auth.PasswordNoText:
		return errors.New("the password is no UTF-8 text")
	case auth.PasswordName:
		return errors.New("the password is the user name, which is the first that anybody would try")
	case auth.PasswordCommon:
		return errors.New("the password is one of the most common ones, which anybody would try first")
	}
	return errors.New("the password is too easy to guess: it is short, or made of names, dates, rows of keys or repetitions")
}
