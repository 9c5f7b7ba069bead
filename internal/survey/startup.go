package survey

import (
	"context"
	_ "embed" // the script
	"slices"
	"strconv"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

//go:embed scripts/startup.sh
var startupScript string

// openFlags are those whose values the script may print.
func openFlags() string { return strings.Join(cluster.OpenFlags(), " ") }

// startup reads what the components of a host are started with.
func startup(ctx context.Context, v *visit) (*cluster.Startup, error) {
	output, err := v.script(ctx, "startup", startupScript, openFlags())
	if err != nil {
		return nil, err
	}
	return readStartup(output), nil
}

// readStartup reads what the script printed. A line that is not as expected is
// left out: it was not observed.
func readStartup(output string) *cluster.Startup {
	p := parts(output)
	out := &cluster.Startup{Components: startedComponents(p["flags"]), Kubelet: kubeletConfigs(p["kubelet"]), Files: configFiles(p["files"])}
	out.ContainerdConfig, _ = strconv.Atoi(firstLine(p["containerd"])) // 0: not there
	return out
}

// startedComponents reads "kubelet", and then its flags as "kubelet PATH NAME" or
// "kubelet PATH NAME =VALUE".
func startedComponents(text string) []cluster.Component {
	var out []cluster.Component
	for f := range fields(text) {
		if len(f) == 1 {
			out = append(out, cluster.Component{Name: f[0]})
			continue
		}
		if len(f) < 3 || len(out) == 0 || out[len(out)-1].Name != f[0] {
			continue
		}
		flag := cluster.Flag{Path: f[1], Name: f[2]}
		if len(f) > 3 && slices.Contains(cluster.OpenFlags(), flag.Name) {
			flag.Value = strings.TrimPrefix(f[3], "=")
		}
		last := &out[len(out)-1]
		last.Flags = append(last.Flags, flag)
	}
	return out
}

// kubeletConfigs reads lines about files, which follow each other.
func kubeletConfigs(text string) []cluster.KubeletConfig {
	var out []cluster.KubeletConfig
	for f := range fields(text) {
		if len(f) < 3 {
			continue
		}
		if len(out) == 0 || out[len(out)-1].Path != f[1] {
			out = append(out, cluster.KubeletConfig{Path: f[1], FeatureGates: map[string]bool{}})
		}
		config := &out[len(out)-1]
		switch f[0] {
		case "apiVersion":
			config.APIVersion = f[2]
		case "field":
			config.Fields = append(config.Fields, f[2])
		case "gate":
			if len(f) == 4 {
				config.FeatureGates[f[2]] = f[3] == "true"
			}
		}
	}
	return out
}

// configFiles reads "file COMPONENT FLAG PATH APIVERSION KIND", and for one that
// encrypts "provider PATH NAME VERSION CACHESIZE".
func configFiles(text string) []cluster.ConfigFile {
	var out []cluster.ConfigFile
	for f := range fields(text) {
		switch {
		case len(f) == 6 && f[0] == "file":
			out = append(out, cluster.ConfigFile{Component: f[1], Flag: f[2], Path: f[3], APIVersion: f[4], Kind: f[5]})
		case len(f) == 5 && f[0] == "provider" && len(out) > 0 && out[len(out)-1].Path == f[1]:
			last := &out[len(out)-1]
			last.Providers = append(last.Providers, provider(f[2], f[3], f[4]))
		}
	}
	return out
}

func provider(name, version, size string) cluster.EncryptionProvider {
	p := cluster.EncryptionProvider{Name: name}
	if name != "kms" {
		return p
	}
	p.APIVersion = "v1" // the default
	if version != "" {
		p.APIVersion = version
	}
	if n, err := strconv.Atoi(size); err == nil {
		p.CacheSize = &n
	}
	return p
}

// fields gives the words of each line, apart by tabs.
func fields(text string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\r\n"); line != "" && !yield(strings.Split(line, "\t")) {
				return
			}
		}
	}
}
