package check

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// objects are what a cluster would be given, by kind.
type objects struct {
	services        []*core.Service
	configMaps      []*core.ConfigMap
	claims          []*core.PersistentVolumeClaim
	serviceAccounts []*core.ServiceAccount
	pods            []*core.Pod
	deployments     []*apps.Deployment
	statefulSets    []*apps.StatefulSet
	policies        []*networking.NetworkPolicy
	ingresses       []*networking.Ingress
	budgets         []*policy.PodDisruptionBudget
	monitors        []*monitoring.ServiceMonitor
}

// decode reads objects as the cluster's own types, strictly: a key that a type lacks, or that is
// there twice, is an error.
func decode(t *testing.T, text string) *objects {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{core.AddToScheme, apps.AddToScheme, networking.AddToScheme, policy.AddToScheme, monitoring.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	o := &objects{}
	for documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text))); ; {
		doc, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return o
		}
		if err != nil {
			t.Fatal(err)
		}
		if !hasContent(doc) {
			continue
		}
		obj, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		switch x := obj.(type) {
		case *core.Service:
			o.services = append(o.services, x)
		case *core.ConfigMap:
			o.configMaps = append(o.configMaps, x)
		case *core.PersistentVolumeClaim:
			o.claims = append(o.claims, x)
		case *core.ServiceAccount:
			o.serviceAccounts = append(o.serviceAccounts, x)
		case *core.Namespace:
		case *core.Pod:
			o.pods = append(o.pods, x)
		case *apps.Deployment:
			o.deployments = append(o.deployments, x)
		case *apps.StatefulSet:
			o.statefulSets = append(o.statefulSets, x)
		case *networking.NetworkPolicy:
			o.policies = append(o.policies, x)
		case *networking.Ingress:
			o.ingresses = append(o.ingresses, x)
		case *policy.PodDisruptionBudget:
			o.budgets = append(o.budgets, x)
		case *monitoring.ServiceMonitor:
			o.monitors = append(o.monitors, x)
		default:
			t.Fatalf("nobody here knows a %T", x)
		}
	}
}

func hasContent(doc []byte) bool {
	for line := range bytes.Lines(doc) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && string(line) != "---" {
			return true
		}
	}
	return false
}

// podsOf are the Pods that objects make, each with who makes them.
func (o *objects) podsOf() map[string]core.PodSpec {
	all := map[string]core.PodSpec{}
	for _, d := range o.deployments {
		all["Deployment "+d.Name] = d.Spec.Template.Spec
	}
	for _, s := range o.statefulSets {
		all["StatefulSet "+s.Name] = s.Spec.Template.Spec
	}
	for _, p := range o.pods {
		all["Pod "+p.Name] = p.Spec
	}
	return all
}

// sound demands of everything what belongs to it: Pods that are locked up as the Pod Security
// Standard "restricted" wants, and more; ports, selectors and volumes that lead somewhere.
func (o *objects) sound(t *testing.T) {
	t.Helper()
	for who, pod := range o.podsOf() {
		s := pod.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 || s.FSGroup == nil ||
			s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault || pod.HostNetwork || pod.HostPID || pod.HostIPC {
			t.Errorf("%s: the Pod is not as locked up as it could be: %+v", who, s)
		}
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			t.Errorf("%s is given a token of the cluster", who)
		}
		volumes := map[string]bool{}
		for _, v := range pod.Volumes {
			volumes[v.Name] = true
			if v.HostPath != nil {
				t.Errorf("%s has a folder of the machine: %s", who, v.Name)
			}
			if v.Secret != nil && (v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o400) {
				t.Errorf("%s: the mode of the secret %s is not 0400", who, v.Name)
			}
		}
		for _, c := range pod.Containers {
			s := c.SecurityContext
			if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
				s.Capabilities == nil || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" || len(s.Capabilities.Add) > 0 {
				t.Errorf("%s: the container %s is not as locked up as it could be: %+v", who, c.Name, s)
			}
			if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Memory().IsZero() {
				t.Errorf("%s: the container %s may take all memory", who, c.Name)
			}
			for _, m := range c.VolumeMounts {
				if !volumes[m.Name] && !strings.HasPrefix(who, "StatefulSet") {
					t.Errorf("%s: there is no volume %s", who, m.Name)
				}
				if m.SubPath != "" {
					t.Errorf("%s: %s is mounted by a subPath, and would never change", who, m.Name)
				}
			}
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					t.Errorf("%s: a secret in the variable %s, where more see it than need it", who, e.Name)
				}
			}
		}
	}
	for _, s := range o.services {
		for _, p := range s.Spec.Ports {
			if !o.hasPort(s.Spec.Selector, p.TargetPort.StrVal) {
				t.Errorf("Service %s: no Pod that it selects has the port %s", s.Name, p.TargetPort.StrVal)
			}
		}
	}
	for _, n := range o.policies {
		for _, rule := range n.Spec.Ingress {
			for _, p := range rule.Ports {
				if !o.hasPort(n.Spec.PodSelector.MatchLabels, p.Port.StrVal) {
					t.Errorf("NetworkPolicy %s: no Pod that it selects has the port %s", n.Name, p.Port.StrVal)
				}
				if p.Port.StrVal == "admin" && len(rule.From) == 0 {
					t.Errorf("NetworkPolicy %s lets everybody to the admin port", n.Name)
				}
			}
		}
	}
	for _, b := range o.budgets {
		if !o.hasPort(b.Spec.Selector.MatchLabels, "admin") {
			t.Errorf("PodDisruptionBudget %s selects no gateway", b.Name)
		}
	}
	for _, m := range o.monitors {
		found := 0
		for _, s := range o.services {
			if selects(m.Spec.Selector.MatchLabels, s.Labels) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("ServiceMonitor %s selects %d Services, want the one of the admin port", m.Name, found)
		}
	}
}

// hasPort reports whether some Pod with these labels has a port of that name.
func (o *objects) hasPort(selector map[string]string, name string) bool {
	has := func(labels map[string]string, pod core.PodSpec) bool {
		for _, c := range pod.Containers {
			for _, p := range c.Ports {
				if p.Name == name && selects(selector, labels) {
					return true
				}
			}
		}
		return false
	}
	for _, d := range o.deployments {
		if has(d.Spec.Template.Labels, d.Spec.Template.Spec) {
			return true
		}
	}
	for _, s := range o.statefulSets {
		if has(s.Spec.Template.Labels, s.Spec.Template.Spec) {
			return true
		}
	}
	return false
}

func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}
