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
	"github.com/evergate/evergate/internal/secret"
)

// newPassword makes a password that can be read aloud and typed: five groups
// of four letters, about 100 bits.
func newPassword() secret.Text {
	s := strings.ToLower(rand.Text())[:20]
	return secret.New(s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:])
}

const minPassword = auth.MinPassword

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
	if n := len([]rune(first.Reveal())); n < minPassword {
		return secret.Text{}, &hinted{fmt.Errorf("the password has %d characters, and needs %d since it is all that stands at the door", n, minPassword),
			"a few words in a row are long and easy to remember"}
	}
	return first, nil
}
