package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

var requestField = regexp.MustCompile(`name="request" value="([^"]+)"`)

// SignIn signs User in over HTTP, as a browser does, and returns the session's cookies as
// a Cookie header has them.
func (g *Gateway) SignIn(ctx context.Context) (cookies string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("sign in: %w\n%s", err, g.Said())
		}
	}()
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Jar: jar, Transport: transport, Timeout: 30 * time.Second}
	if g.options.Provider == nil {
		_, _, err = send(ctx, client, http.MethodPost, g.Base+"/.evergate/login", url.Values{"username": {User}, "password": {Password}, "rd": {"/.evergate/whoami"}})
	} else {
		err = atProvider(ctx, client, g.Base)
	}
	if err != nil {
		return "", err
	}
	home, err := url.Parse(g.Base)
	if err != nil {
		return "", err
	}
	var all []string
	for _, c := range jar.Cookies(home) {
		if strings.HasPrefix(c.Name, CookieName) {
			all = append(all, c.Name+"="+c.Value)
		}
	}
	if len(all) == 0 {
		return "", errors.New("there is no session cookie")
	}
	return strings.Join(all, "; "), nil
}

func atProvider(ctx context.Context, client *http.Client, base string) error {
	page, at, err := send(ctx, client, http.MethodGet, base+"/.evergate/login/"+providerName+"?rd=/.evergate/whoami", nil)
	if err != nil {
		return err
	}
	request := requestField.FindStringSubmatch(page)
	if request == nil {
		return errors.New("the provider shows no form")
	}
	_, _, err = send(ctx, client, http.MethodPost, at, url.Values{"request": {request[1]}, "username": {User}, "password": {Password}})
	return err
}

// send returns what was answered in the end, and where that was.
func send(ctx context.Context, client *http.Client, method, to string, form url.Values) (page, at string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(form.Encode()))
	if err != nil {
		return "", "", err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := client.Do(req)
	if err != nil {
		return "", "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: got %d, want 200", method, res.Request.URL.Path, res.StatusCode)
	}
	return string(body), res.Request.URL.String(), err
}
