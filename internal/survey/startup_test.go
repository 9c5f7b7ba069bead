package survey

import (
	"bytes"
	"encoding/json"
	flags "flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
	"github.com/kup-project/kup/pkg/cluster"
)

var updateStartup = flags.Bool("update-startup", false, "write testdata/startup anew")

// tree is a host's files below testdata/startup.
func tree(t *testing.T, name string) map[string]string {
	t.Helper()
	root := filepath.Join("testdata/startup", name)
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, root)] = string(text)
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("%s: %v", root, err)
	}
	return out
}

// real runs the script with this machine's own sh and awk, on the tree instead of
// the machine's root.
func real(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(root+name), 0o755); err != nil {
			t.Fatal(err)
		}
		text = strings.NewReplacer("=/etc/", "="+root+"/etc/", "=-/etc/", "=-"+root+"/etc/", "=/var/", "="+root+"/var/", "=-/var/", "=-"+root+"/var/").Replace(text)
		if err := os.WriteFile(root+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	moved := strings.NewReplacer(
		" /etc/", " "+root+"/etc/", "=/etc/", "="+root+"/etc/", "\"/etc/", "\""+root+"/etc/",
		" /run/systemd", " "+root+"/run/systemd", " /usr/lib/systemd", " "+root+"/usr/lib/systemd", " /usr/local/lib", " "+root+"/usr/local/lib",
		" /lib/systemd", " "+root+"/lib/systemd", " /var/", " "+root+"/var/", ":-/var/", ":-"+root+"/var/", "\"/var/", "\""+root+"/var/",
	).Replace(startupScript)
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "sh", "-c", moved, "kup", strings.Join(cluster.OpenFlags(), " "))
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	return strings.ReplaceAll(out.String(), root, "")
}

// modelled runs the script in the shell of modelled hosts.
func modelled(t *testing.T, files map[string]string) string {
	t.Helper()
	s := shell.New(vfs.New(), nil)
	for name, text := range files {
		if err := s.FS.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := s.FS.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, said bytes.Buffer
	p := &shell.Process{
		Args:  []string{"sh", "-c", startupScript, "kup", strings.Join(cluster.OpenFlags(), " ")},
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &said, Root: true,
	}
	if code := s.Exec(t.Context(), p); code != 0 {
		t.Fatalf("exit code %d: %s", code, said.String())
	}
	return out.String()
}

func TestStartupScript(t *testing.T) {
	hosts, err := os.ReadDir("testdata/startup")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range hosts {
		if !entry.IsDir() {
			continue
		}
		name := entry.Name()
		t.Run(name, func(t *testing.T) {
			files := tree(t, name)
			printed := real(t, files)
			if other := modelled(t, files); other != printed {
				t.Errorf("a modelled host prints\n%s\na real one\n%s", other, printed)
			}
			if strings.Contains(printed, "SECRET") {
				t.Errorf("a secret is printed:\n%s", printed)
			}
			got, err := json.MarshalIndent(readStartup(printed), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			goldenStartup(t, "testdata/startup/"+name+".json", string(got)+"\n")
		})
	}
}

func goldenStartup(t *testing.T, path, got string) {
	t.Helper()
	if *updateStartup {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("it differs from %s; run the test with -update-startup and review the difference:\n%s", path, got)
	}
}

func TestStartupOfAnEmptyHost(t *testing.T) {
	files := map[string]string{"/etc/hostname": "w-1\n"}
	for _, printed := range []string{real(t, files), modelled(t, files), ""} {
		if s := readStartup(printed); len(s.Components)+len(s.Kubelet)+len(s.Files)+s.ContainerdConfig != 0 {
			t.Errorf("something was seen: %+v\n%s", s, printed)
		}
	}
}

func TestClusterArgs(t *testing.T) {
	for _, tc := range []struct{ name, config, want string }{
		{"map", `
apiVersion: kubeadm.k8s.io/v1beta3
apiServer:
  extraArgs:
    feature-gates: A=true
    oidc-client-secret: SECRET
    insecure_port: "0"
controllerManager:
  extraArgs: {port: 0}
scheduler: {}
etcd:
  local:
    extraArgs: {enable-v2: "true", feature_gates: SECRET}
featureGates: {IPv6DualStack: true}
`, `kube-apiserver feature-gates=A=true insecure-port=0 oidc-client-secret= | kube-controller-manager port=0 | kube-scheduler | etcd enable-v2= feature_gates= | map[IPv6DualStack:true]`},
		{"list", `
apiVersion: kubeadm.k8s.io/v1beta4
apiServer:
  extraArgs:
  - {name: feature-gates, value: A=true}
  - {name: feature-gates, value: B=false}
  - {name: audit-webhook-config-file, value: SECRET}
etcd:
  external: {endpoints: ["https://e:2379"]}
`, `kube-apiserver feature-gates=A=true feature-gates=B=false audit-webhook-config-file= | kube-controller-manager | kube-scheduler | etcd | map[]`},
		{"neither", "apiServer: {extraArgs: text}", "error"},
		{"list without names", "apiServer: {extraArgs: [x]}", "error"},
		{"not YAML", "{", "error"},
		{"nothing", "", "error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args, err := clusterArgs(tc.config)
			got := "error"
			if err == nil {
				var words []string
				for _, c := range args.Components {
					words = append(words, c.Name)
					for _, f := range c.Flags {
						words = append(words, f.Name+"="+f.Value)
					}
					words = append(words, "|")
				}
				text, _ := json.Marshal(args.FeatureGates)
				got = strings.Join(words, " ") + " map" + strings.NewReplacer("{", "[", "}", "]", `"`, "", "null", "[]").Replace(string(text))
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
