package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/auth/oidc"
)

func (p *program) initOIDCCmd() *cobra.Command {
	var host, name, clientID string
	cmd := &cobra.Command{
		Use: "oidc ISSUER", Short: "Probe an OpenID Connect provider and print what to register there",
		Long: "Ask a provider what it can: discovery, keys, PKCE, refresh tokens, ways to sign out.\n" +
			"Print the addresses to register there and the lines for the config. Nothing is written.",
		Example: "  evergate init oidc https://login.example.com --host apps.example.com\n" +
			"  evergate init oidc https://sso.example.com/realms/corp --name corp --client-id evergate",
		Args: exactly(1, "the provider's issuer"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.initOIDC(cmd.Context(), args[0], host, name, clientID)
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "the host name browsers use (default: http://localhost:8080)")
	cmd.Flags().StringVar(&name, "name", "oidc", "the provider's name, part of the addresses")
	cmd.Flags().StringVar(&clientID, "client-id", "evergate", "the client id that the provider gives Evergate")
	return cmd
}

func (p *program) initOIDC(ctx context.Context, issuer, host, name, clientID string) error {
	public, err := publicURLOf(host)
	if err != nil {
		return err
	}
	issuer = strings.TrimSuffix(issuer, "/.well-known/openid-configuration")
	probed, err := oidc.Probe(ctx, issuer, oidc.ProbeOptions{})
	if err != nil {
		return &hinted{fmt.Errorf("probe the provider: %w", err), "curl " + strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"}
	}
	say := func(what string, is bool, note string) {
		answer := "no "
		if is {
			answer = "yes"
		}
		fmt.Fprintf(p.err, "  %s  %s%s\n", answer, what, note)
	}
	fmt.Fprintf(p.err, "%s answers; it looks like: %s.\n", issuer, probed.Kind)
	say(fmt.Sprintf("signing keys (%d)", probed.Keys), probed.Keys > 0, "")
	say("PKCE with S256", probed.PKCE, "")
	say("refresh tokens", probed.RefreshTokens == "yes", map[string]string{"unknown": " (it does not say)"}[probed.RefreshTokens])
	say("pushed authorization requests (RFC 9126)", probed.PAR, "")
	say("issuer in the callback (RFC 9207)", probed.IssParameter, "")
	say("sign-out at the provider", probed.EndSession, "")
	say("revocation of tokens (RFC 7009)", probed.Revocation, "")
	say("back-channel logout", probed.BackchannelLogout, "")
	for _, w := range probed.Warnings {
		fmt.Fprintln(p.err, "  note: "+w)
	}
	own := public + "/.evergate/"
	fmt.Fprintln(p.err, "Register Evergate there as a confidential web client, with:")
	fmt.Fprintf(p.out, "redirect URI:          %scallback/%s\n", own, name)
	if probed.EndSession {
		fmt.Fprintf(p.out, "after signing out:     %slogout\n", own)
	}
	if probed.BackchannelLogout {
		fmt.Fprintf(p.out, "back-channel logout:   %sbackchannel-logout/%s\n", own, name)
	}
	fmt.Fprintln(p.err, "Put its secret into a file of its own (mode 0600), and these lines into the config:")
	fmt.Fprint(p.out, "\n", identityLines(issuer, name, clientID, probed))
	return nil
}

// identityLines are the lines for the config, checked like any others.
func identityLines(issuer, name, clientID string, probed *oidc.Probed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "identity:\n  - oidc:\n      name: %s\n      issuer: %s\n      client_id: %q\n      client_secret_file: %s.secret\n", name, issuer, clientID, name)
	if probed.Kind != "generic" {
		fmt.Fprintf(&b, "      kind: %s\n", probed.Kind)
	}
	if len(probed.ClientAuthMethods) > 0 && !slices.Contains(probed.ClientAuthMethods, "client_secret_basic") && slices.Contains(probed.ClientAuthMethods, "client_secret_post") {
		fmt.Fprintln(&b, "      client_auth: client_secret_post")
	}
	fmt.Fprintf(&b, "      scopes: [%s]\n", strings.Join(probed.Scopes, ", "))
	return b.String()
}
