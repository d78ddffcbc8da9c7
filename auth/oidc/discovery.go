package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/dpop"
)

// metadata is what a provider says of itself (OIDC Discovery section 3).
type metadata struct {
	Issuer           string   `json:"issuer"`
	Authorize        string   `json:"authorization_endpoint"`
	Token            string   `json:"token_endpoint"`
	Userinfo         string   `json:"userinfo_endpoint"`
	Keys             string   `json:"jwks_uri"`
	EndSession       string   `json:"end_session_endpoint"`
	Introspection    string   `json:"introspection_endpoint"`
	Revocation       string   `json:"revocation_endpoint"`
	PAR              string   `json:"pushed_authorization_request_endpoint"`
	Scopes           []string `json:"scopes_supported"`
	Grants           []string `json:"grant_types_supported"`
	ResponseTypes    []string `json:"response_types_supported"`
	PKCE             []string `json:"code_challenge_methods_supported"`
	AuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	AuthAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IDTokenAlgs      []string `json:"id_token_signing_alg_values_supported"`
	UserinfoAlgs     []string `json:"userinfo_signing_alg_values_supported"`
	DPoPAlgs         []string `json:"dpop_signing_alg_values_supported"`
	IssParameter     bool     `json:"authorization_response_iss_parameter_supported"`
	Backchannel      bool     `json:"backchannel_logout_supported"`
	BackchannelBySID bool     `json:"backchannel_logout_session_supported"`
}

// metadata returns what is known of the provider, or an outage.
func (m *Method) metadata(ctx context.Context) (*metadata, error) {
	md, err := m.meta.get(ctx, m, m.discover)
	if err != nil {
		return nil, m.outage(ctx, fmt.Errorf("discovery: %w", err))
	}
	return md, nil
}

func wellKnown(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// discover fetches the metadata.
func (m *Method) discover(ctx context.Context) (*metadata, time.Duration, error) {
	var md *metadata
	a, err := m.get(ctx, wellKnown(m.cfg.Issuer))
	if err == nil {
		md, err = readMetadata(a, m.cfg.Issuer)
	}
	if err != nil {
		m.cfg.Log.WarnContext(ctx, "the provider's metadata cannot be had; those of before are kept", "event", "provider.metadata", "err", err)
		return nil, 0, err
	}
	if m.cfg.DPoP && !slices.Contains(md.DPoPAlgs, dpop.Algorithm) {
		m.cfg.Log.WarnContext(ctx, "the provider does not list DPoP with ES256, and the configuration has dpop: true: unless it binds tokens all the same, nobody can sign in. "+
			"Turn DPoP on there, or take dpop out", "event", "provider.dpop", "listed", strings.Join(md.DPoPAlgs, " "))
	}
	m.trouble.Store(nil)
	return md, a.maxAge(), nil
}

// readMetadata checks metadata before anything in them is believed.
func readMetadata(a *answer, issuer string) (*metadata, error) {
	if a.status != http.StatusOK {
		return nil, a.unwanted()
	}
	md := new(metadata)
	if err := a.decode(md); err != nil {
		return nil, err
	}
	// Exactly, or one provider could speak for another (section 4.3).
	if md.Issuer != issuer {
		if strings.Contains(md.Issuer, "{tenantid}") {
			return nil, errors.New("its metadata are for many tenants at once; configure the issuer of one, with the tenant's id in it")
		}
		return nil, fmt.Errorf("its metadata are those of issuer %.200q; configure exactly that, if it is the right one", md.Issuer)
	}
	own, err := url.Parse(issuer)
	if err != nil {
		return nil, err
	}
	for name, endpoint := range map[string]string{"authorization_endpoint": md.Authorize, "token_endpoint": md.Token, "jwks_uri": md.Keys,
		"userinfo_endpoint": md.Userinfo, "end_session_endpoint": md.EndSession, "revocation_endpoint": md.Revocation,
		"introspection_endpoint": md.Introspection, "pushed_authorization_request_endpoint": md.PAR} {
		needed := name == "authorization_endpoint" || name == "token_endpoint" || name == "jwks_uri"
		if endpoint == "" && !needed {
			continue
		}
		if u, err := url.Parse(endpoint); err != nil || !safeURL(u, own) || u.Fragment != "" {
			return nil, fmt.Errorf("its %s is missing, or is not https", name)
		}
	}
	return md, nil
}

// scopes are those to ask for: a provider that lists its scopes refuses others.
func (m *Method) scopes(md *metadata) string {
	var ask []string
	for _, s := range m.cfg.Scopes {
		if s == "offline_access" && (m.cfg.Kind == KindGoogle || md.Scopes != nil && !slices.Contains(md.Scopes, s)) {
			continue
		}
		ask = append(ask, s)
	}
	return strings.Join(ask, " ")
}
