package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
)

// pod is the gateway of a Pod as a plain process, with its volumes as files.
type pod struct {
	*container
	spec   core.Container
	at     string // the address of the Pod
	config string
}

// newPod lays out the volumes of the first container. Secrets are those of the cluster, by name.
func newPod(t *testing.T, o *objects, spec core.PodSpec, secrets map[string]map[string]string) *pod {
	t.Helper()
	p := &pod{container: newContainer(t), spec: spec.Containers[0], at: loopback()}
	for _, m := range p.spec.VolumeMounts {
		for _, v := range spec.Volumes {
			switch {
			case v.Name != m.Name:
			case v.ConfigMap != nil:
				p.project(m.MountPath, p.configMap(o, v.ConfigMap.Name), 0o644)
			case v.Secret != nil:
				if secrets[v.Secret.SecretName] == nil {
					t.Fatalf("the test has no Secret %s", v.Secret.SecretName)
				}
				// For fsGroup the kubelet lets the group read.
				p.project(m.MountPath, secrets[v.Secret.SecretName], os.FileMode(*v.Secret.DefaultMode)|0o440)
			case v.PersistentVolumeClaim != nil, v.EmptyDir != nil:
				p.volume(m.MountPath, 0o2777|os.ModeSetgid, 0)
			default:
				t.Fatalf("the test knows no volume as %+v", v)
			}
		}
	}
	for _, e := range p.spec.Env {
		value := e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == "status.podIP" {
			value = p.at
		}
		p.env = append(p.env, e.Name+"="+value)
	}
	return p
}

// configMap returns a ConfigMap with the ports of the config at the Pod's own address: all Pods
// have one network here.
func (p *pod) configMap(o *objects, name string) map[string]string {
	p.t.Helper()
	for _, c := range o.configMaps {
		if c.Name != name {
			continue
		}
		text := regexp.MustCompile(`(?m)((?:listen|redirect_http): "?):(\d+)`).ReplaceAllString(c.Data["evergate.yaml"], "${1}"+p.at+":$2")
		if n := strings.Count(text, p.at); n != len(p.spec.Ports) {
			p.t.Fatalf("got %d ports in the config, and %d in the Pod:\n%s", n, len(p.spec.Ports), text)
		}
		p.config = text
		return map[string]string{"evergate.yaml": text}
	}
	p.t.Fatalf("there is no ConfigMap %s", name)
	return nil
}

// project lays files out as the kubelet does: in a folder of their own, by links that lead
// through another link, which is what changes.
func (p *pod) project(path string, files map[string]string, mode os.FileMode) {
	p.t.Helper()
	p.volume(path, 0o755, 0)
	data := ".." + time.Now().Format("2006_01_02_15_04_05.000000000")
	p.volume(filepath.Join(path, data), 0o755, 0)
	dir := filepath.Join(p.root, path)
	for name, text := range files {
		p.write(filepath.Join(path, data, name), text, mode, 0)
		if err := os.Symlink("..data/"+name, filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
			p.t.Fatal(err)
		}
	}
	if err := os.Symlink(data, filepath.Join(dir, "..data_tmp")); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		p.t.Fatal(err)
	}
}

// begin starts the container and waits for its probes, as the kubelet would.
func (p *pod) begin() *process {
	p.t.Helper()
	running := start(p.t, p.command(p.spec.Args...))
	for _, probe := range []*core.Probe{p.spec.StartupProbe, p.spec.ReadinessProbe, p.spec.LivenessProbe} {
		running.within(p.t, probe.HTTPGet.Path, func() error { return p.ask(probe.HTTPGet) })
	}
	return running
}

// ask is one probe.
func (p *pod) ask(get *core.HTTPGetAction) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	scheme := strings.ToLower(string(get.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	res, err := client.Get(fmt.Sprintf("%s://%s:%d%s", scheme, p.at, p.port(get.Port.StrVal), get.Path))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: got status %d", get.Path, res.StatusCode)
	}
	return nil
}

// port is that of the container which has a name.
func (p *pod) port(name string) int32 {
	p.t.Helper()
	for _, c := range p.spec.Ports {
		if c.Name == name {
			return c.ContainerPort
		}
	}
	p.t.Fatalf("the container has no port %s", name)
	return 0
}

// address is where a port of the container is.
func (p *pod) address(name string) string { return fmt.Sprintf("%s:%d", p.at, p.port(name)) }

// evergate runs a command of the image here, outside of any container.
func evergate(t *testing.T, dir, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(built(t), "usr/bin/evergate"), args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("evergate %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// users is a users file with alice in it, made by the command that docs/kubernetes.md has.
func users(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const config = "public_url: https://apps.example.com\nidentity: [{ local: { users_file: users.yaml } }]\nroutes: [{ upstream: \"http://127.0.0.1:9\" }]\n"
	if err := os.WriteFile(filepath.Join(dir, "evergate.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	evergate(t, dir, password+"\n", "user", "add", "--config", "evergate.yaml", "--groups", "staff", "--password-stdin", "alice")
	return contents(t, filepath.Join(dir, "users.yaml"))
}

// certify returns a certificate for names and its key (PEM). It is its own authority.
func certify(t *testing.T, names ...string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(60 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}
