package survey

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	"sigs.k8s.io/yaml"
)

// clusterArgs reads what kubeadm's ClusterConfiguration gives the components.
// extraArgs are a map until v1beta3, a list of names and values from v1beta4 on.
func clusterArgs(config string) (*cluster.ClusterArgs, error) {
	type component struct {
		ExtraArgs any `json:"extraArgs"`
	}
	var doc struct {
		APIServer         component `json:"apiServer"`
		ControllerManager component `json:"controllerManager"`
		Scheduler         component `json:"scheduler"`
		Etcd              struct {
			Local component `json:"local"`
		} `json:"etcd"`
		FeatureGates map[string]bool `json:"featureGates"`
	}
	unreadable := errors.New("kubeadm's ClusterConfiguration is not as expected; see kubectl -n kube-system get configmap kubeadm-config -o yaml")
	if err := yaml.Unmarshal([]byte(config), &doc); err != nil || config == "" {
		return nil, unreadable // the parser would quote it
	}
	out := &cluster.ClusterArgs{FeatureGates: doc.FeatureGates}
	for _, c := range []struct {
		name, field string
		args        any
	}{
		{"kube-apiserver", "apiServer.extraArgs", doc.APIServer.ExtraArgs},
		{"kube-controller-manager", "controllerManager.extraArgs", doc.ControllerManager.ExtraArgs},
		{"kube-scheduler", "scheduler.extraArgs", doc.Scheduler.ExtraArgs},
		{"etcd", "etcd.local.extraArgs", doc.Etcd.Local.ExtraArgs},
	} {
		flags, ok := extraArgs(c.args, c.field)
		if !ok {
			return nil, unreadable
		}
		out.Components = append(out.Components, cluster.Component{Name: c.name, Flags: flags})
	}
	return out, nil
}

// extraArgs reads either form; only values that cannot be secret are kept.
func extraArgs(args any, field string) ([]cluster.Flag, bool) {
	var out []cluster.Flag
	add := func(name string, value any) {
		flag := cluster.Flag{Name: name, Path: field}
		if !strings.HasPrefix(field, "etcd") {
			flag.Name = strings.ReplaceAll(name, "_", "-")
		}
		if slices.Contains(cluster.OpenFlags(), flag.Name) {
			flag.Value = scalar(value)
		}
		out = append(out, flag)
	}
	switch list := args.(type) {
	case nil:
	case map[string]any:
		for name, value := range list {
			add(name, value)
		}
		slices.SortFunc(out, func(a, b cluster.Flag) int { return strings.Compare(a.Name, b.Name) })
	case []any:
		for _, item := range list {
			arg, ok := item.(map[string]any)
			name, named := arg["name"].(string)
			if !ok || !named {
				return nil, false
			}
			add(name, arg["value"])
		}
	default:
		return nil, false
	}
	return out, true
}

// scalar gives a value that somebody may have written without quotes.
func scalar(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}
