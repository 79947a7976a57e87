package deploy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	base    = "kubernetes/base"
	onEtcd  = "kubernetes/overlays/etcd"
	secrets = "/etc/tocsin-secrets"
)

// kustomization is as much of one as ours have.
type kustomization struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Labels     []struct{ Pairs map[string]string }
	Resources  []string
	ConfigMaps []struct {
		Name  string
		How   string `yaml:"behavior"` //nolint:misspell // the field's own word
		Files []string
	} `yaml:"configMapGenerator"`
	Images  []struct{ Name, NewName, NewTag string }
	Patches []struct {
		Path   string
		Target struct{ Kind, Name string }
	}
}

func kustom(t *testing.T, dir string) kustomization {
	t.Helper()
	text := read(t, dir+"/kustomization.yaml")
	text = strings.NewReplacer("newName:", "newname:", "newTag:", "newtag:").Replace(text)
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	var k kustomization
	require.NoError(t, dec.Decode(&k), dir)
	return k
}

// typed decodes a manifest into Kubernetes' own types; a key that they do not
// have is an error, as it is for the server.
func typed(t *testing.T, raw any) any {
	t.Helper()
	kind := raw.(map[string]any)["kind"].(string)
	version := raw.(map[string]any)["apiVersion"].(string)
	into := map[string]any{
		"v1 ServiceAccount": &corev1.ServiceAccount{}, "v1 Service": &corev1.Service{}, "v1 ConfigMap": &corev1.ConfigMap{}, "v1 Secret": &corev1.Secret{},
		"apps/v1 StatefulSet": &appsv1.StatefulSet{}, "policy/v1 PodDisruptionBudget": &policyv1.PodDisruptionBudget{},
		"networking.k8s.io/v1 NetworkPolicy": &networkingv1.NetworkPolicy{},
	}[version+" "+kind]
	require.NotNil(t, into, "%s %s", version, kind)
	asJSON, err := json.Marshal(raw)
	require.NoError(t, err)
	dec := json.NewDecoder(bytes.NewReader(asJSON))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(into), "%s %s", version, kind)
	return into
}

// assembled are the objects of a kustomization, put together as kubectl does for
// as much of it as ours use.
func assembled(t *testing.T, dir string) []any {
	t.Helper()
	k := kustom(t, dir)
	var out []any
	for _, r := range k.Resources {
		if path := filepath.Join(dir, r); !strings.HasSuffix(r, ".yaml") {
			out = append(out, assembled(t, path)...)
			continue
		}
		var raw map[string]any
		strictly(t, filepath.Join(dir, r), &raw)
		out = append(out, raw)
	}
	for _, p := range k.Patches {
		var ops []struct {
			Op, Path string
			Value    any
		}
		strictly(t, filepath.Join(dir, p.Path), &ops)
		i := slices.IndexFunc(out, func(o any) bool { return o.(map[string]any)["kind"] == p.Target.Kind })
		require.GreaterOrEqual(t, i, 0, "%s patches what is not there", p.Path)
		for _, op := range ops {
			out[i] = patched(t, out[i], strings.Split(op.Path, "/")[1:], op.Op, op.Value)
		}
	}
	return out
}

// patched does one operation of a JSON patch (RFC 6902).
func patched(t *testing.T, n any, path []string, op string, value any) any {
	t.Helper()
	last := len(path) == 1
	switch n := n.(type) {
	case map[string]any:
		child, there := n[path[0]]
		switch {
		case !last:
			require.True(t, there, "no %s", path[0])
			n[path[0]] = patched(t, child, path[1:], op, value)
		case op == "test":
			require.Equal(t, value, child, path[0])
		case op == "remove":
			require.True(t, there, "no %s", path[0])
			delete(n, path[0])
		default:
			require.Equal(t, op == "replace", there, "%s %s", op, path[0])
			n[path[0]] = value
		}
		return n
	case []any:
		if path[0] == "-" {
			return append(n, value)
		}
		i, err := strconv.Atoi(path[0])
		require.NoError(t, err)
		require.Less(t, i, len(n))
		if !last {
			n[i] = patched(t, n[i], path[1:], op, value)
			return n
		}
		if op == "test" {
			require.Equal(t, value, n[i])
			return n
		}
		require.Equal(t, "remove", op)
		return slices.Delete(n, i, i+1)
	}
	t.Fatalf("nothing at %v", path)
	return nil
}

func objectsOf[T any](t *testing.T, objects []any) []*T {
	t.Helper()
	var out []*T
	for _, o := range objects {
		if x, ok := typed(t, o).(*T); ok {
			out = append(out, x)
		}
	}
	return out
}

func TestManifests(t *testing.T) {
	for _, dir := range []string{base, onEtcd} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			objects := assembled(t, dir)
			require.Len(t, objects, 5)
			labels := map[string]string{"app.kubernetes.io/name": "tocsin"}
			selects := func(s *metav1.LabelSelector) { t.Helper(); require.Equal(t, labels, s.MatchLabels) }
			for _, o := range objects {
				require.NotContains(t, o.(map[string]any)["metadata"], "namespace", "the operator chooses it")
			}
			set := objectsOf[appsv1.StatefulSet](t, objects)[0]
			require.Equal(t, labels, set.Spec.Template.Labels)
			selects(set.Spec.Selector)
			service := objectsOf[corev1.Service](t, objects)[0]
			require.Equal(t, labels, service.Spec.Selector)
			require.Equal(t, set.Spec.ServiceName, service.Name)
			require.Equal(t, "http", service.Spec.Ports[0].TargetPort.String())
			pdb := objectsOf[policyv1.PodDisruptionBudget](t, objects)[0]
			selects(pdb.Spec.Selector)
			require.Equal(t, "1", pdb.Spec.MaxUnavailable.String())
			np := objectsOf[networkingv1.NetworkPolicy](t, objects)[0]
			selects(&np.Spec.PodSelector)
			require.Len(t, np.Spec.PolicyTypes, 2)
			restricted(t, set.Spec.Template.Spec)
			require.Equal(t, objectsOf[corev1.ServiceAccount](t, objects)[0].Name, set.Spec.Template.Spec.ServiceAccountName)
			mounts(t, set)
		})
	}
	one, many := objectsOf[appsv1.StatefulSet](t, assembled(t, base))[0], objectsOf[appsv1.StatefulSet](t, assembled(t, onEtcd))[0]
	require.Equal(t, int32(1), *one.Spec.Replicas, "a file has one writer")
	require.Equal(t, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}, one.Spec.VolumeClaimTemplates[0].Spec.AccessModes)
	require.Equal(t, int32(3), *many.Spec.Replicas)
	require.Empty(t, many.Spec.VolumeClaimTemplates)
	require.Equal(t, appsv1.ParallelPodManagement, many.Spec.PodManagementPolicy)
}

// restricted checks a pod against the Pod Security Standard of that name, and
// that nothing but its volumes can be written.
func restricted(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	require.True(t, *pod.SecurityContext.RunAsNonRoot)
	require.NotZero(t, *pod.SecurityContext.RunAsUser)
	require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
	require.False(t, *pod.AutomountServiceAccountToken)
	require.False(t, pod.HostNetwork || pod.HostPID || pod.HostIPC)
	require.GreaterOrEqual(t, *pod.TerminationGracePeriodSeconds, int64(30), "sends under way are given 15 s, webhooks 5 s")
	c := pod.Containers[0]
	require.Len(t, pod.Containers, 1)
	require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
	require.Empty(t, c.SecurityContext.Capabilities.Add)
	require.False(t, c.Resources.Limits.Memory().IsZero())
	require.True(t, c.Resources.Limits.Cpu().IsZero(), "a page must not wait for a quota")
	for _, p := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe} {
		require.Equal(t, "/-/ready", p.HTTPGet.Path)
	}
	require.Equal(t, "/-/healthy", c.LivenessProbe.HTTPGet.Path)
}

// mounts checks that every volume is mounted, and every mount is of a volume.
func mounts(t *testing.T, set *appsv1.StatefulSet) {
	t.Helper()
	var have, want []string
	for _, v := range set.Spec.Template.Spec.Volumes {
		have = append(have, v.Name)
	}
	for _, v := range set.Spec.VolumeClaimTemplates {
		have = append(have, v.Name)
	}
	for _, m := range set.Spec.Template.Spec.Containers[0].VolumeMounts {
		want = append(want, m.Name)
		require.Equal(t, m.Name != "data", m.ReadOnly, m.Name)
	}
	require.ElementsMatch(t, want, have)
}

// The configs in the manifests pass tocsin check, and name the ports that the
// network policy opens and the files that the secret holds.
func TestManifestsHoldConfigsThatPassCheck(t *testing.T) {
	one := read(t, base+"/tocsin.yml")
	checked(t, one, secrets)
	many := read(t, onEtcd+"/tocsin.yml")
	// the store's own section belongs to its engine; all else is as in the base
	withoutStore := regexp.MustCompile(`(?m)^store:(.*\n)(?:  .*\n)*`)
	comments := regexp.MustCompile(`(?m)^#.*\n`)
	checked(t, withoutStore.ReplaceAllString(many, "store: {bolt: {path: data/tocsin.db}}\n"), secrets)
	require.Equal(t, comments.ReplaceAllString(withoutStore.ReplaceAllString(one, ""), ""), comments.ReplaceAllString(withoutStore.ReplaceAllString(many, ""), ""))
	var store struct {
		Store struct {
			Etcd struct {
				Endpoints    []string
				Prefix       string
				Username     string
				PasswordFile string `yaml:"password_file"`
				TLS          struct {
					CAFile   string `yaml:"ca_file"`
					CertFile string `yaml:"cert_file"`
					KeyFile  string `yaml:"key_file"`
				}
			}
		}
	}
	dec := yaml.NewDecoder(strings.NewReader(withoutStore.FindString(many)))
	dec.KnownFields(true)
	require.NoError(t, dec.Decode(&store))
	require.Len(t, store.Store.Etcd.Endpoints, 3)
	require.Equal(t, "/tocsin", store.Store.Etcd.Prefix)

	var secret map[string]any
	strictly(t, base+"/secret.example.yaml", &secret)
	s := typed(t, secret).(*corev1.Secret)
	for _, m := range regexp.MustCompile(secrets+`/([\w.-]+)`).FindAllStringSubmatch(one, -1) {
		require.Contains(t, s.StringData, m[1])
	}
	np := objectsOf[networkingv1.NetworkPolicy](t, assembled(t, onEtcd))[0]
	open := map[string]bool{}
	for _, e := range np.Spec.Egress {
		for _, p := range e.Ports {
			open[p.Port.String()] = true
		}
	}
	for _, m := range regexp.MustCompile(`https?://[\w.-]+:(\d+)`).FindAllStringSubmatch(many, -1) {
		require.True(t, open[m[1]], "the network policy keeps port %s shut", m[1])
	}
}

func TestKustomizationsNameFilesThatAreThere(t *testing.T) {
	for _, dir := range []string{base, onEtcd, "kubernetes/components/monitoring"} {
		k := kustom(t, dir)
		require.Contains(t, []string{"Kustomization", "Component"}, k.Kind)
		require.True(t, strings.HasPrefix(k.APIVersion, "kustomize.config.k8s.io/"))
		for _, c := range k.ConfigMaps {
			require.Equal(t, "tocsin", c.Name)
			require.Equal(t, map[bool]string{true: "", false: "replace"}[dir == base], c.How)
			for _, f := range c.Files {
				require.FileExists(t, filepath.Join(dir, f))
			}
		}
		for _, r := range k.Resources {
			_, err := os.Stat(filepath.Join(dir, r))
			require.NoError(t, err)
		}
	}
	require.Equal(t, map[string]string{"app.kubernetes.io/name": "tocsin"}, kustom(t, base).Labels[0].Pairs)
	require.Equal(t, "tocsin", kustom(t, base).Images[0].Name)

	var monitor struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		Spec       struct {
			JobLabel  string                                  `yaml:"jobLabel"`
			Selector  struct{ MatchLabels map[string]string } `yaml:"selector"`
			Endpoints []struct{ Port, Path, Interval string }
		}
	}
	text := strings.Replace(read(t, "kubernetes/components/monitoring/servicemonitor.yaml"), "matchLabels:", "matchlabels:", 1)
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	require.NoError(t, dec.Decode(&monitor))
	require.Equal(t, "tocsin", monitor.Spec.Selector.MatchLabels[monitor.Spec.JobLabel], `the alerts look for job="tocsin"`)
	require.Equal(t, "http", monitor.Spec.Endpoints[0].Port)
}

// kubectl, where there is one, puts together what we do.
func TestKubectlAgrees(t *testing.T) {
	for _, dir := range []string{base, onEtcd} {
		text, ok := found(t, "kubectl", "kustomize", dir)
		if !ok {
			continue
		}
		kinds := map[string]any{}
		for doc := range strings.SplitSeq(text, "\n---\n") {
			var raw map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(doc), &raw))
			kinds[raw["kind"].(string)] = typed(t, raw)
		}
		require.Len(t, kinds, 6)
		for _, o := range assembled(t, dir) {
			raw := o.(map[string]any)
			if raw["kind"] != "StatefulSet" { // it gets the image's tag and the sum of its config
				ours := withName(raw)
				require.Equal(t, typed(t, ours), kinds[raw["kind"].(string)])
			}
		}
		ours, theirs := objectsOf[appsv1.StatefulSet](t, assembled(t, dir))[0], kinds["StatefulSet"].(*appsv1.StatefulSet)
		require.Equal(t, ours.Spec.Replicas, theirs.Spec.Replicas)
		require.Equal(t, ours.Spec.Template.Spec.Containers[0].VolumeMounts, theirs.Spec.Template.Spec.Containers[0].VolumeMounts)
		require.Regexp(t, `^tocsin:v`, theirs.Spec.Template.Spec.Containers[0].Image)
		require.Regexp(t, `^tocsin-\w+$`, theirs.Spec.Template.Spec.Volumes[0].ConfigMap.Name)
		conf := kinds["ConfigMap"].(*corev1.ConfigMap)
		require.Equal(t, read(t, dir+"/tocsin.yml"), conf.Data["tocsin.yml"])
	}
}

// withName is an object with the label that the kustomization gives to all.
func withName(o map[string]any) map[string]any {
	o["metadata"].(map[string]any)["labels"] = map[string]any{"app.kubernetes.io/name": "tocsin"}
	return o
}
