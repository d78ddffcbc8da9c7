package check

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"sigs.k8s.io/yaml"
)

const chart = "../helm/evergate"

// values reads values files, each over the one before, and then text.
func values(t *testing.T, text string, files ...string) chartutil.Values {
	t.Helper()
	all := map[string]any{}
	for _, file := range files {
		v, err := chartutil.ReadValuesFile(filepath.Join(chart, "ci", file))
		if err != nil {
			t.Fatal(err)
		}
		all = chartutil.CoalesceTables(v, all)
	}
	v, err := chartutil.ReadValues([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return chartutil.CoalesceTables(v, all)
}

// template is `helm template` with a release called eg in the namespace sso; also has API
// versions that the cluster has besides its own.
func template(v chartutil.Values, also ...string) (files map[string]string, err error) {
	c, err := loader.Load(chart)
	if err != nil {
		return nil, err
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.APIVersions = append(caps.APIVersions, also...)
	render, err := chartutil.ToRenderValues(c, v, chartutil.ReleaseOptions{Name: "eg", Namespace: "sso", Revision: 1, IsInstall: true}, caps)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, render)
}

const knowsServiceMonitor = "monitoring.coreos.com/v1/ServiceMonitor"

// install is template, decoded.
func install(t *testing.T, v chartutil.Values) *objects {
	t.Helper()
	files, err := template(v, knowsServiceMonitor)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") {
			fmt.Fprintf(&all, "---\n%s\n", files[name])
		}
	}
	return decode(t, all.String())
}

// valuesFiles are what the chart is tried with.
func valuesFiles(t *testing.T) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(chart, "ci"))
	if err != nil || len(entries) < 2 {
		t.Fatalf("got %v, %v", entries, err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestChart: helm lint has nothing to say, and what comes out is sound.
func TestChart(t *testing.T) {
	for _, file := range valuesFiles(t) {
		t.Run(file, func(t *testing.T) {
			v := values(t, "", file)
			linter := lint.All(chart, v, "sso", true)
			for _, m := range linter.Messages {
				if m.Severity > support.InfoSev { // an icon is recommended
					t.Errorf("helm lint: %s", m.Error())
				}
			}
			o := install(t, v)
			o.sound(t)
			if len(o.monitors) != 1 || len(o.budgets) != 1 || len(o.policies) != 1 || len(o.serviceAccounts) != 1 || len(o.pods) != 1 {
				t.Errorf("got %d ServiceMonitors, %d budgets, %d policies, %d accounts, %d Pods of tests; want one of each",
					len(o.monitors), len(o.budgets), len(o.policies), len(o.serviceAccounts), len(o.pods))
			}
			if files, err := template(v); err != nil || strings.TrimSpace(files["evergate/templates/servicemonitor.yaml"]) != "" {
				t.Errorf("a cluster that knows no ServiceMonitor is sent one, %v", err)
			}
		})
	}
}

// TestChartRefuses: what cannot work is told before anything is sent, with what to do.
func TestChartRefuses(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"nothing is set", "", "{}", "config.public_url is needed"},
		{"two gateways on one file", "one-values.yaml", "replicas: 2", "cannot share the store bolt: set config.session.store: redis"},
		{"two gateways with the cookie store", "one-values.yaml", "{ replicas: 2, config: { session: { store: cookie } } }", "cannot share the store cookie"},
		{"nobody speaks https", "one-values.yaml", "tls: { existingSecret: \"\", redirectHTTP: false }", "something has to speak https"},
		{"plain http leads nowhere", "three-values.yaml", "tls: { redirectHTTP: true }", "tls.redirectHTTP needs"},
		{"a key that goes with the Pod", "three-values.yaml", "existingSecret: \"\"", "existingSecret is needed"},
		{"a key that goes with the Pod, of one", "one-values.yaml", "{ existingSecret: \"\", persistence: { enabled: false } }", "existingSecret is needed"},
		{"no key at all", "three-values.yaml", "keyRing: []", "keyRing is needed"},
		{"another port", "one-values.yaml", "config: { listen: \":443\" }", "config.listen is the chart's own"},
		{"another admin port", "one-values.yaml", "config: { admin: { listen: \":443\" } }", "config.admin.listen is the chart's own"},
		{"another key ring", "one-values.yaml", "config: { keys: { files: [k] } }", "config.keys is the chart's own"},
		{"another certificate", "one-values.yaml", "config: { tls: { cert_file: c } }", "config.tls.cert_file is the chart's own"},
		{"certificates by ACME", "one-values.yaml", "config: { tls: { acme: { email: a@example.com } } }", "cert-manager"},
		{"a word that is not there", "one-values.yaml", "replica: 2", "replica"},
		{"half a gateway", "one-values.yaml", "replicas: 0.5", "replicas"},
		{"a Secret that cannot be", "one-values.yaml", "existingSecret: My_Secret", "existingSecret"},
	} {
		files := []string{c.file}
		if c.file == "" {
			files = nil
		}
		if _, err := template(values(t, c.text, files...)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestChartValues: the schema knows every value of values.yaml and no other, and values.yaml
// explains each in a comment above it.
func TestChartValues(t *testing.T) {
	var schema struct{ Properties map[string]any }
	if err := yaml.Unmarshal([]byte(read(t, "deploy/helm/evergate/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	text := read(t, "deploy/helm/evergate/values.yaml")
	v, err := chartutil.ReadValues([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	delete(schema.Properties, "global") // which Helm gives to every chart
	same(t, "values.yaml and its schema", v.AsMap(), schema.Properties)
	templates := ""
	files, err := filepath.Glob(chart + "/templates/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, chart+"/templates/tests/ready.yaml") {
		if fi, err := os.Stat(f); err == nil && !fi.IsDir() {
			templates += contents(t, f)
		}
	}
	for key := range v {
		if !regexp.MustCompile(`\.Values\.` + key + `\b`).MatchString(templates) {
			t.Errorf("no template uses %s", key)
		}
	}
}

// same demands that a map of values and the properties of a schema have the same keys.
func same(t *testing.T, what string, v, properties map[string]any) {
	t.Helper()
	got, want := slices.Sorted(maps.Keys(v)), slices.Sorted(maps.Keys(properties))
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v and %v", what, got, want)
	}
	for key, value := range v {
		p, _ := properties[key].(map[string]any)
		below, closed := p["properties"].(map[string]any)
		if m, ok := value.(map[string]any); ok && closed {
			same(t, what+", "+key, m, below)
		}
	}
}

// TestChartReplacesPods for those keys that docs/reload.md says need a restart, and for no
// others.
func TestChartReplacesPods(t *testing.T) {
	digest := func(text string) string {
		t.Helper()
		o := install(t, values(t, text, "three-values.yaml"))
		return o.deployments[0].Spec.Template.Annotations["evergate/restart"]
	}
	_, table, _ := strings.Cut(read(t, "docs/reload.md"), "## What needs a restart")
	table, _, _ = strings.Cut(table, "\n## ")
	keys := regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\|").FindAllStringSubmatch(table, -1)
	if len(keys) < 15 {
		t.Fatalf("got %d keys in docs/reload.md, want 15", len(keys))
	}
	before := digest("{}")
	helpers := contents(t, chart+"/templates/_helpers.tpl")
	for _, k := range keys {
		if !strings.Contains(helpers, `"`+k[1]+`"`) {
			t.Errorf("the chart's list lacks %s", k[1])
		}
		switch k[1] {
		case "listen", "admin.listen", "data_dir", "tls.acme", "tls.redirect_http": // the chart's own
			continue
		case "session.store": // another one is refused for three
			if one := digest("{ replicas: 1, config: { session: { store: bolt } } }"); one == before {
				t.Error("another session.store changes nothing")
			}
			continue
		}
		path := strings.Split(k[1], ".")
		leaf := "{ " + path[len(path)-1] + ": 7 }"
		switch k[1] {
		case "public_url":
			leaf = "{ public_url: https://other.example.com }"
		case "session.redis":
			leaf = "{ redis: { db: 7 } }"
		case "session.cookie":
			leaf = "{ cookie: { name: other } }"
		}
		for _, parent := range slices.Backward(path[:len(path)-1]) {
			leaf = "{ " + parent + ": " + leaf + " }"
		}
		if got := digest("config: " + leaf); got == before {
			t.Errorf("%s: the Pods stay, and would run with the old one", leaf)
		}
	}
	for _, text := range []string{"config: { session: { idle_timeout: 1h } }", "config: { log: { level: warn } }",
		"config: { routes: [{ upstream: \"https://other.example.com\" }] }", "config: { limits: { body_bytes: 1MiB } }", "networkPolicy: { enabled: false }"} {
		if digest(text) != before {
			t.Errorf("%s: the Pods are replaced for what a reload does", text)
		}
	}
}

// chartSecrets are those that the files in ci/ name.
func chartSecrets(t *testing.T) (secrets map[string]map[string]string, certificate, appCertificate, appKey string) {
	t.Helper()
	appCertificate, appKey = certify(t, "app.apps.svc")
	secrets, certificate = secretsFor(t, "apps.example.com", "evergate", "evergate-tls", map[string]string{
		"apps-ca.pem": appCertificate, "redis.password": "a-password-of-the-store"})
	return secrets, certificate, appCertificate, appKey
}

// TestChartOne starts the gateway of one-values.yaml, uses it, and runs what helm test would.
func TestChartOne(t *testing.T) {
	o := install(t, values(t, "", "one-values.yaml"))
	secrets, certificate, appCertificate, appKey := chartSecrets(t)
	if d := o.deployments[0]; *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != "Recreate" || len(o.claims) != 1 {
		t.Errorf("got %d replicas, strategy %s, %d claims; want one of each, and Recreate", *d.Spec.Replicas, d.Spec.Strategy.Type, len(o.claims))
	}
	p := newPod(t, o, o.deployments[0].Spec.Template.Spec, secrets)
	app := loopback()
	p.resolve("app.apps.svc", app)
	newTLSApp(t, app+":9443", appCertificate, appKey)
	onlyWarnings(t, p.container, p.config)
	p.begin()
	alice := newPerson(t, certificate, map[string]string{"443": p.address("https"), "80": p.address("redirect")})
	alice.signsIn("https://apps.example.com/reports")
	if at := alice.get("http://apps.example.com/again"); at.url.Scheme != "https" {
		t.Errorf("plain http: got to %s", at.url)
	}

	test := newPod(t, o, o.pods[0].Spec, nil)
	test.env = []string{"EG_EVERGATE_ADMIN_SERVICE_HOST=" + p.at}
	if out, err := output(test.command(test.spec.Args...)); err != nil || !strings.Contains(out, `"ready":true`) {
		t.Errorf("helm test: got %s, %v", out, err)
	}
	test.env = nil
	if out, err := output(test.command(test.spec.Args...)); err == nil || !strings.Contains(out, "the Service has to be there before this Pod") {
		t.Errorf("helm test without its Service: got %s, %v", out, err)
	}
}

// TestChartReloads: a changed ConfigMap is in force within seconds, and a bad one is not, though
// the file is the same to the eye: a link to a link.
func TestChartReloads(t *testing.T) {
	v := values(t, "config: { log: { format: json } }", "one-values.yaml")
	o := install(t, v)
	secrets, certificate, appCertificate, appKey := chartSecrets(t)
	p := newPod(t, o, o.deployments[0].Spec.Template.Spec, secrets)
	app := loopback()
	p.resolve("app.apps.svc", app)
	newTLSApp(t, app+":9443", appCertificate, appKey)
	running := p.begin()
	alice := newPerson(t, certificate, map[string]string{"443": p.address("https")})
	alice.signsIn("https://apps.example.com/reports")

	swap := func(text string) {
		p.project("/etc/evergate", map[string]string{"evergate.yaml": text}, 0o644)
	}
	swap(p.config + "\nnonsense: 1\n")
	running.within(t, "the bad one is told", func() error {
		if !strings.Contains(running.said.String(), `"event":"config.bad"`) {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	alice.seesTheApp(alice.get("https://apps.example.com/reports"), "https://apps.example.com/reports")
	swap(strings.Replace(p.config, "- staff", "- admins", 1))
	running.within(t, "the good one is in force", func() error {
		if at := alice.get("https://apps.example.com/reports"); at.status != 403 {
			return fmt.Errorf("got %d", at.status)
		}
		return nil
	})
}

// TestChartThree: behind an Ingress controller the gateway speaks plain http, which check warns
// of, and which networkPolicy.from is for.
func TestChartThree(t *testing.T) {
	redis := need(t, "redis-server", "redis-server")
	o := install(t, values(t, "", "three-values.yaml"))
	secrets, _, appCertificate, appKey := chartSecrets(t)
	d := o.deployments[0]
	if *d.Spec.Replicas != 3 || d.Spec.Strategy.Type != "RollingUpdate" || len(o.claims) != 0 {
		t.Errorf("got %d replicas, strategy %s, %d claims; want 3, RollingUpdate and none", *d.Spec.Replicas, d.Spec.Strategy.Type, len(o.claims))
	}
	if got := o.policies[0].Spec.Ingress[0].From; len(got) != 1 {
		t.Errorf("the public port is open to %v, want the Ingress controller alone", got)
	}
	var hosts []string
	for _, r := range o.ingresses[0].Spec.Rules {
		hosts = append(hosts, r.Host)
	}
	if !slices.Equal(hosts, []string{"apps.example.com", "app.example.com"}) || !slices.Equal(o.ingresses[0].Spec.TLS[0].Hosts, hosts) {
		t.Errorf("the Ingress has the hosts %v, and certificates for %v", hosts, o.ingresses[0].Spec.TLS)
	}
	p := newPod(t, o, d.Spec.Template.Spec, secrets)
	if !slices.Contains(p.env, "POD_IP="+p.at) {
		t.Errorf("extraEnv: got %v", p.env)
	}
	store, app := loopback(), loopback()
	p.resolve("redis", store)
	p.resolve("app.apps.svc", app)
	newTLSApp(t, app+":9443", appCertificate, appKey)
	start(t, redisWithPassword(redis, t.TempDir(), store, secrets["evergate"]["redis.password"])).
		within(t, "the store answers", func() error { return dial(store + ":6379") })
	onlyWarnings(t, p.container, p.config) // but see TestChartWarns: here listen is an address
	p.begin()
	front := newFront(t, p.address("http"))
	newPerson(t, front.certificate, map[string]string{"443": front.at}).signsIn("https://apps.example.com/reports")
}

// TestChartWarns: of the config as it is in the cluster check warns of one thing.
func TestChartWarns(t *testing.T) {
	o := install(t, values(t, "", "three-values.yaml"))
	secrets, _, _, _ := chartSecrets(t)
	p := newPod(t, o, o.deployments[0].Spec.Template.Spec, secrets)
	config := strings.ReplaceAll(p.config, p.at+":", ":")
	p.project("/etc/evergate", map[string]string{"evergate.yaml": config}, 0o644)
	onlyWarnings(t, p.container, config, "listen:")
}
