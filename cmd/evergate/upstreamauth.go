package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/proxy"
)

// signInAtApp says on a route how people are signed in at its app. A fault names the key
// that it is about. A nil log is for checking alone: files need not be there.
func signInAtApp(out *proxy.Route, a *config.UpstreamAuth, log *slog.Logger) (key string, err error) {
	if a == nil {
		return "", nil
	}
	read := func(under, file string) proxy.Secret {
		s, failed := openSecret(file, log)
		if failed != nil && err == nil {
			key, err = "upstream_auth."+under, failed
		}
		return s
	}
	switch {
	case a.Basic != nil:
		out.Basic = &proxy.Basic{User: a.Basic.User, Password: read("basic.password_file", a.Basic.PasswordFile)}
	case a.APIKey != nil:
		out.APIKey = &proxy.APIKey{Header: a.APIKey.Header, Prefix: a.APIKey.Prefix, Key: read("api_key.file", a.APIKey.File)}
	case a.Form != nil:
		f := a.Form
		out.Form = &proxy.Form{
			Login: f.Login, User: f.User, PasswordFrom: f.Password, UserField: f.UserField, PasswordField: f.PasswordField, Fields: f.Fields,
			Statuses: f.LoginStatuses, InPage: f.LoginInPage, Cookie: f.SuccessCookie, BrowserCookies: f.BrowserCookies, Logout: f.Logout,
		}
		if f.PasswordFile != "" {
			out.Form.Password = read("form.password_file", f.PasswordFile)
		}
	}
	return key, err
}

// lookEvery is how often a file with a secret is looked at while it is used.
const lookEvery = time.Second

// keptSecret is a secret in a file, read again when that changes. One that cannot be
// read any more stays what it was.
type keptSecret struct {
	file string
	log  *slog.Logger

	mu     sync.Mutex // guards what follows
	text   secret.Text
	looked time.Time
	info   fs.FileInfo // of the file that was read
	told   string      // what the log has heard is wrong with it
}

// openSecret reads a secret. With a nil log, a file that is not there is no fault.
func openSecret(file string, log *slog.Logger) (proxy.Secret, error) {
	s := &keptSecret{file: file, log: log}
	if err := s.read(); err != nil && (log != nil || !errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	return s.now, nil
}

func (s *keptSecret) read() error {
	info, err := os.Stat(s.file)
	if err != nil {
		return err
	}
	text, err := config.ReadSecret(s.file)
	if err != nil {
		return err
	}
	s.text, s.info = text, info
	return nil
}

// now implements proxy.Secret.
func (s *keptSecret) now() (secret.Text, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.looked) < lookEvery {
		return s.text, nil
	}
	s.looked = time.Now()
	info, err := os.Stat(s.file)
	if err == nil && s.info != nil && os.SameFile(info, s.info) && info.ModTime().Equal(s.info.ModTime()) && info.Size() == s.info.Size() {
		s.told = ""
		return s.text, nil
	}
	if err == nil {
		err = s.read()
	}
	switch {
	case err == nil:
		s.told = ""
		s.log.Info("a secret was read again", "event", "secret.changed", "file", s.file)
	case s.told != err.Error():
		s.told = err.Error()
		s.log.Warn("a secret cannot be read again; the last one stays", "event", "secret.unreadable", "file", s.file, "err", err)
	}
	return s.text, nil
}
