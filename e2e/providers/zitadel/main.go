// Command zitadel is an OpenID Provider to test against: zitadel/oidc's certified
// op with its example storage, whose refresh tokens are good once. It prints
// "ready" when it listens and ends at SIGTERM.
//
//	zitadel PORT TTL REDIRECT_URI POST_LOGOUT_REDIRECT_URI
//
// The client is web with the password secret; test-user2 signs in with the
// password verysecure. /test/stats tells how many refresh grants it gave.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "zitadel:", err)
		os.Exit(1)
	}
}

// store is the example's, with a life of access tokens of our choice.
type store struct {
	*storage.Storage
	ttl        time.Duration
	postLogout string
	refreshed  atomic.Int64
}

// CreateAccessAndRefreshTokens implements op.Storage.
func (s *store) CreateAccessAndRefreshTokens(ctx context.Context, r op.TokenRequest, current string) (string, string, time.Time, error) {
	id, refresh, expires, err := s.Storage.CreateAccessAndRefreshTokens(ctx, r, current)
	if err == nil && current != "" {
		s.refreshed.Add(1)
	}
	return id, refresh, earlier(expires, time.Now().Add(s.ttl)), err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// client is the example's, which knows where to go after signing out.
type client struct {
	op.Client
	postLogout string
}

// PostLogoutRedirectURIs implements op.Client.
func (c client) PostLogoutRedirectURIs() []string { return []string{c.postLogout} }

// GetClientByClientID implements op.Storage.
func (s *store) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{c, s.postLogout}, nil
}

func run(args []string) error {
	if len(args) != 4 {
		return errors.New("want a port, a life of access tokens and two addresses")
	}
	ttl, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	// The issuer ends in a slash: one that is not matched exactly shows.
	issuer := "http://localhost:" + args[0] + "/"
	storage.RegisterClients(storage.WebClient("web", "secret", args[2]))
	s := &store{Storage: storage.NewStorage(storage.NewUserStore(issuer)), ttl: ttl, postLogout: args[3]}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	router := exampleop.SetupServer(issuer, s, log, false)
	mux := http.NewServeMux()
	mux.Handle("/", router)
	mux.HandleFunc("/test/stats", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]int64{"refreshed": s.refreshed.Load()})
	})
	l, err := net.Listen("tcp", "localhost:"+args[0])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Println("ready")
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
