package oauth2proxy_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/oauth2proxy"
)

// reference are the options in the reference of oauth2-proxy 7, by their keys in its config
// file, and those that its pages about providers and sessions add.
const reference = `acr_values allowed_groups approval_prompt backend_logout_url client_id client_secret_file client_secret
code_challenge_method insecure_oidc_allow_unverified_email insecure_oidc_skip_issuer_verification insecure_oidc_skip_nonce
jwt_key_file jwt_key login_url oidc_audience_claims oidc_email_claim oidc_extra_audiences oidc_groups_claim oidc_issuer_url
oidc_jwks_url oidc_public_key_files oidc_enabled_signing_algs profile_url prompt provider_ca_files provider_display_name provider pubjwk_url
redeem_url scope skip_claims_from_profile_url skip_oidc_discovery use_system_trust_store validate_url auth_request_response_mode user_id_claim resource
force_code_challenge_method allowed_roles
cookie_csrf_expire cookie_csrf_per_request cookie_csrf_per_request_limit cookie_domains cookie_expire cookie_httponly cookie_name cookie_path
cookie_refresh cookie_samesite cookie_secret cookie_secret_file cookie_secure
basic_auth_password set_xauthrequest set_authorization_header set_basic_auth skip_auth_strip_headers pass_access_token
pass_authorization_header pass_basic_auth prefer_email_to_user pass_user_headers
auth_logging_format auth_logging errors_to_info_log exclude_logging_paths logging_compress logging_filename logging_local_time
logging_max_age logging_max_backups logging_max_size request_id_header request_logging_format request_logging silence_ping_logging
standard_logging_format standard_logging
banner custom_sign_in_logo custom_templates_dir display_htpasswd_form footer show_debug_on_error
ping_path ping_user_agent ready_path gcp_healthchecks
allow_query_semicolons api_routes authenticated_emails_file email_domains encode_state extra_jwt_issuers force_https force_json_errors
htpasswd_file htpasswd_user_groups proxy_prefix real_client_ip_header redirect_url relative_redirect_url reverse_proxy signature_key
skip_auth_preflight skip_auth_regex skip_auth_routes skip_jwt_bearer_tokens skip_provider_button ssl_insecure_skip_verify trusted_ips
whitelist_domains
http_address https_address metrics_address metrics_secure_address metrics_tls_cert_file metrics_tls_key_file tls_cert_file
tls_cipher_suites tls_key_file tls_min_version
session_cookie_minimal session_store_type redis_cluster_connection_urls redis_connection_url redis_insecure_skip_tls_verify
redis_password redis_sentinel_password redis_sentinel_master_name redis_sentinel_connection_urls redis_use_cluster redis_use_sentinel
redis_connection_idle_timeout redis_ca_path
flush_interval pass_host_header proxy_websockets ssl_upstream_insecure_skip_verify upstream_timeout upstreams disable_keep_alives
azure_tenant azure_graph_group_field entra_id_allowed_tenants entra_id_federated_token_auth bitbucket_team bitbucket_repository
github_org github_team github_repo github_token github_users gitlab_groups gitlab_projects google_groups google_admin_email
google_service_account_json google_use_application_default_credentials google_target_principal google_use_organization_id
google_admin_api_user_scope keycloak_groups config version alpha_config`

func TestEveryOptionHasARow(t *testing.T) {
	for _, key := range strings.Fields(reference) {
		if !oauth2proxy.Known(key) {
			t.Errorf("%s has no row", key)
		}
	}
	seen := map[string]bool{}
	for _, o := range oauth2proxy.Rows() {
		if seen[o.Key] {
			t.Errorf("%s has two rows", o.Key)
		}
		seen[o.Key] = true
	}
}

// TestEveryLineIsAnswered: whatever option stands on a line, the result speaks of that line,
// and repeats no secret.
func TestEveryLineIsAnswered(t *testing.T) {
	values := map[string]string{"redis_connection_url": "redis://:canary-secret@cache:6379", "cookie_expire": "1h", "trusted_proxy_ips": "10.0.0.1",
		"redis_sentinel_connection_urls": "redis://:canary-secret@cache:26379", "redis_cluster_connection_urls": "redis://:canary-secret@cache:6379",
		"upstreams": "http://127.0.0.1:9001", "redirect_url": "https://apps.example.com/oauth2/callback", "oidc_issuer_url": "https://sso.example.com"}
	base := map[string]string{"provider": "oidc", "email_domains": "example.com", "client_id": "evergate", "oidc_issuer_url": "https://login.example.com",
		"upstreams": "http://127.0.0.1:9000", "redirect_url": "https://apps.example.com/x", "session_store_type": "redis"}
	for _, o := range oauth2proxy.Rows() {
		value := values[o.Key]
		switch {
		case value != "":
		case o.Secret:
			value = "canary-secret"
		case o.Kind == "boolean":
			value = "true"
			if o.Same == "true" {
				value = "false"
			}
		case o.Kind == "duration":
			value = "90s"
		default:
			value = "something"
		}
		for _, value := range []string{value, "", o.Same} {
			var in strings.Builder
			for k, v := range base {
				if k != o.Key {
					fmt.Fprintf(&in, "%s = %q\n", k, v)
				}
			}
			line := strings.Count(in.String(), "\n") + 1
			fmt.Fprintf(&in, "%s = %q\n", o.Key, value)
			r, err := oauth2proxy.Import([]oauth2proxy.Source{{Name: "in", Data: []byte(in.String())}}, oauth2proxy.Options{})
			if err != nil {
				t.Errorf("%s = %q: %v", o.Key, value, err)
				continue
			}
			out := string(r.Config)
			if !regexp.MustCompile(fmt.Sprintf(`# lines? (\d+, )*%d(, \d+)*\n`, line)).MatchString(out) && !strings.Contains(strings.Join(strings.Fields(out), " "), fmt.Sprintf("# Line %d, %s", line, o.Key)) {
				t.Errorf("%s = %q: nothing is said of line %d in\n%s", o.Key, value, line, out)
			}
			if strings.Contains(out+strings.Join(r.Todo, ""), "canary-secret") {
				t.Errorf("%s: its secret is repeated", o.Key)
			}
		}
	}
}

// TestGuideHasTheTable: what the guide says of each option is what the importer does.
func TestGuideHasTheTable(t *testing.T) {
	const guide = "../../../../docs/migrate-oauth2-proxy.md"
	b, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- the table begins -->\n\n", "<!-- the table ends -->"
	before, rest, ok := strings.Cut(string(b), begin)
	table, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("the guide has no place for the table")
	}
	if *update {
		if err := os.WriteFile(guide, []byte(before+begin+oauth2proxy.Table()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if table != oauth2proxy.Table() {
		t.Error("the table in the guide is another one; make it anew with: go test ./cmd/evergate/internal/oauth2proxy -update")
	}
}
