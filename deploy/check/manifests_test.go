package check

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// kustomize returns what `kubectl apply -k` would send.
func kustomize(t *testing.T, dir string) *objects {
	t.Helper()
	out, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join("../kubernetes", dir))
	if err != nil {
		t.Fatalf("deploy/kubernetes/%s: %v", dir, err)
	}
	text, err := out.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, string(text))
}

// secretsFor are the Secrets that docs/kubernetes.md has made.
func secretsFor(t *testing.T, host, gateway, tls string, more map[string]string) (secrets map[string]map[string]string, certificate string) {
	t.Helper()
	certificate, key := certify(t, host)
	files := map[string]string{"evergate.key": evergate(t, ".", "", "key", "new"), "users.yaml": users(t)}
	for name, text := range more {
		files[name] = text
	}
	return map[string]map[string]string{gateway: files, tls: {"tls.crt": certificate, "tls.key": key}}, certificate
}

func TestKubernetesBase(t *testing.T) {
	o := kustomize(t, "base")
	o.sound(t)
	secrets, certificate := secretsFor(t, "apps.example.com", "evergate", "evergate-tls", nil)
	p := newPod(t, o, o.deployments[0].Spec.Template.Spec, secrets)
	app := loopback()
	p.resolve("app.apps.svc", app)
	newApp(t, app+":8000")
	onlyWarnings(t, p.container, p.config, "upstream:")
	p.begin()
	newPerson(t, certificate, map[string]string{"443": p.address("https")}).signsIn("https://apps.example.com/reports")
}

// TestKubernetesSidecar: with an app on loopback check has nothing to say.
func TestKubernetesSidecar(t *testing.T) {
	o := kustomize(t, "sidecar")
	o.sound(t)
	spec := o.deployments[0].Spec.Template.Spec
	app := spec.Containers[1]
	if !slices.Contains(app.Args, "-listen=127.0.0.1:8000") || len(app.Ports) > 0 || len(app.VolumeMounts) > 0 {
		t.Errorf("the app listens by %v, has ports %v and volumes %v; want loopback, and none", app.Args, app.Ports, app.VolumeMounts)
	}
	secrets, certificate := secretsFor(t, "wiki.example.com", "wiki-gateway", "wiki-tls", nil)
	// A Pod has a loopback of its own. Here it is that of the machine, so the app gets another address of it.
	loop := loopback()
	for _, c := range o.configMaps {
		if strings.Count(c.Data["evergate.yaml"], "http://127.0.0.1:8000") != 1 {
			t.Fatal("the upstream is not the app's address")
		}
		c.Data["evergate.yaml"] = strings.Replace(c.Data["evergate.yaml"], "http://127.0.0.1:8000", "http://"+loop+":8000", 1)
	}
	p := newPod(t, o, spec, secrets)
	newApp(t, loop+":8000")
	onlyWarnings(t, p.container, p.config)
	p.begin()
	newPerson(t, certificate, map[string]string{"443": p.address("https")}).signsIn("https://wiki.example.com/start")
}

// TestKubernetesRedis: two of the gateways, and the store with the command that it has there. Who
// signed in at one is signed in at the other.
func TestKubernetesRedis(t *testing.T) {
	redis := need(t, "redis-server", "redis-server")
	o := kustomize(t, "redis")
	o.sound(t)
	if len(o.claims) > 0 {
		t.Errorf("there is a claim %s still", o.claims[0].Name)
	}
	made := prepare(t, newContainer(t))
	secrets, certificate := secretsFor(t, "apps.example.com", "evergate", "evergate-tls",
		map[string]string{"redis.password": contents(t, made+"/redis.password")})

	store, app := loopback(), loopback()
	c := o.statefulSets[0].Spec.Template.Spec.Containers[0]
	args := []string{"--bind", store, "--port", "6379"}
	for _, arg := range c.Args {
		args = append(args, strings.NewReplacer("/run/secrets/store", made, "/data", t.TempDir()).Replace(arg))
	}
	start(t, exec.Command(redis, args...)).within(t, "the store answers", func() error { return dial(store + ":6379") })
	newApp(t, app+":8000")

	var alice *person
	for i := range 2 {
		t.Run([]string{"one", "another"}[i], func(t *testing.T) {
			p := newPod(t, o, o.deployments[0].Spec.Template.Spec, secrets)
			p.resolve("store.evergate.svc", store)
			p.resolve("app.apps.svc", app)
			onlyWarnings(t, p.container, p.config, "upstream:")
			p.begin()
			who := newPerson(t, certificate, map[string]string{"443": p.address("https")})
			if alice == nil {
				alice = who
				alice.signsIn("https://apps.example.com/reports")
				return
			}
			who.c.Jar = alice.c.Jar
			who.seesTheApp(who.get("https://apps.example.com/reports"), "https://apps.example.com/reports")
		})
	}
}

// redisWithPassword is a store for which there is one password.
func redisWithPassword(program, dir, at, password string) *exec.Cmd {
	return exec.Command(program, "--bind", at, "--port", "6379", "--dir", dir, "--save", "", "--appendonly", "no",
		"--maxmemory-policy", "noeviction", "--requirepass", password)
}
