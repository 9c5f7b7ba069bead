package catalog

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"sigs.k8s.io/yaml"
)

//go:embed data/*.yaml
var data embed.FS

// Catalog is the embedded knowledge. It does not change after Load and is safe
// for concurrent use.
type Catalog struct {
	digest  string
	minors  []minorRow
	patches []patchRow
	edges   []Edge
	bumps   []bumpRow

	noDefragment []noDefragmentRow

	kubelets  []kubeletRow
	apart     apartRow
	commands  []command
	options   []optionRow
	etcdCerts etcdCertificates
	nested    []nestedRow
	moved     []movedRow
	estimates map[string]time.Duration
	removed   []RemovedAPI
	stored    storedKinds
	startup   startup
	hazardData
	addonData
	placementData
	workerData
}

// Range is the minors a row speaks of, both ends included.
type Range struct {
	From cluster.Minor `json:"from"`
	To   cluster.Minor `json:"to"`
}

// Holds tells whether the minor is in the range.
func (r Range) Holds(m cluster.Minor) bool { return !m.Less(r.From) && !r.To.Less(m) }

type minorRow struct {
	Minor         cluster.Minor            `json:"minor"`
	Seen          cluster.Version          `json:"seen"`
	Etcd          string                   `json:"etcd"`
	EtcdMin       cluster.Version          `json:"etcdMin"`
	CoreDNS       string                   `json:"coredns"`
	Pause         string                   `json:"pause"`
	KubeletBehind uint64                   `json:"kubeletBehind"`
	SupportedEtcd map[cluster.Minor]string `json:"supportedEtcd"`
	ConfigAPIs    []string                 `json:"configAPIs"`
	Repository    string                   `json:"repository"`
	Source        string                   `json:"source"`
}

type patchRow struct {
	From   cluster.Version `json:"from"`
	Etcd   string          `json:"etcd"`
	Source string          `json:"source"`
}

type kubeletRow struct {
	Range
	Behind uint64 `json:"behind"`
	Source string `json:"source"`
}

type apartRow struct {
	Apart  uint64 `json:"apart"`
	Source string `json:"source"`
}

// RemovedAPI is an API version that a minor no longer serves.
type RemovedAPI struct {
	In          cluster.Minor `json:"in"`
	Group       string        `json:"group"`
	Version     string        `json:"version"`
	Kind        string        `json:"kind"`
	Resource    string        `json:"resource"`
	Replacement string        `json:"replacement"`
	Source      string        `json:"source"`
}

// Load reads the embedded data. An error is a defect of this build.
func Load() (*Catalog, error) {
	c := &Catalog{}
	var etcd struct {
		Patches      []patchRow        `json:"patches"`
		Edges        []Edge            `json:"edges"`
		NoDefragment []noDefragmentRow `json:"noDefragment"`
		Bumps        []bumpRow         `json:"bumps"`
	}
	var skew struct {
		Kubelets   []kubeletRow `json:"kubelets"`
		APIServers apartRow     `json:"apiServers"`
	}
	var commands struct {
		Commands         []command        `json:"commands"`
		Options          []optionRow      `json:"options"`
		EtcdCertificates etcdCertificates `json:"etcdCertificates"`
	}
	var images struct {
		NestedCoreDNS []nestedRow `json:"nestedCoreDNS"`
		Moved         []movedRow  `json:"moved"`
	}
	var minors struct {
		Minors []minorRow `json:"minors"`
	}
	var removed struct {
		APIs []RemovedAPI `json:"apis"`
	}
	var times struct {
		Estimates []estimateRow `json:"estimates"`
	}
	for name, into := range map[string]any{
		"minors": &minors, "etcd": &etcd, "skew": &skew, "commands": &commands,
		"images": &images, "removed_apis": &removed, "estimates": &times,
	} {
		if err := read(name, into); err != nil {
			return nil, err
		}
	}
	c.minors, c.patches, c.edges = minors.Minors, etcd.Patches, etcd.Edges
	c.bumps, c.noDefragment = etcd.Bumps, etcd.NoDefragment
	c.kubelets, c.apart = skew.Kubelets, skew.APIServers
	c.commands, c.options, c.etcdCerts = commands.Commands, commands.Options, commands.EtcdCertificates
	c.nested, c.moved, c.removed = images.NestedCoreDNS, images.Moved, removed.APIs
	c.estimates = durations(times.Estimates)
	for _, load := range []func() error{c.loadStartup, c.loadHazards, c.loadAddons, c.loadStored, c.loadPlacement, c.loadWorkers} {
		if err := load(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(c.minors, func(a, b minorRow) int { return a.Minor.Compare(b.Minor) })
	var err error
	c.digest, err = digest()
	return c, err
}

func read(name string, into any) error {
	raw, err := data.ReadFile("data/" + name + ".yaml")
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if err := yaml.UnmarshalStrict(raw, into); err != nil {
		return fmt.Errorf("catalog: data/%s.yaml: %w", name, err)
	}
	return nil
}

// digest covers the name and content of every data file, in the order of names.
func digest() (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(data, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := data.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(sum, "%s %d\n%s", path, len(raw), raw)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("catalog: digest: %w", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// Digest is "sha256:" and the hash of the embedded data: two kups with the same
// digest know the same.
func (c *Catalog) Digest() string { return c.digest }

// Oldest and Newest bound the minors the catalog has rows for.
func (c *Catalog) Oldest() cluster.Minor { return c.minors[0].Minor }

// Newest is the newest minor with a row.
func (c *Catalog) Newest() cluster.Minor { return c.minors[len(c.minors)-1].Minor }

// Minor gives what is known of a minor line; false when nothing is.
func (c *Catalog) Minor(m cluster.Minor) (Minor, bool) {
	for i := range c.minors {
		if c.minors[i].Minor == m {
			return Minor{row: &c.minors[i], c: c}, true
		}
	}
	return Minor{}, false
}

// KubeletBehind is how many minors a kubelet of that minor may be behind the
// newest API server, by the policy of Kubernetes.
func (c *Catalog) KubeletBehind(kubelet cluster.Minor) uint64 {
	for _, row := range c.kubelets {
		if row.Holds(kubelet) {
			return row.Behind
		}
	}
	return 0
}

// APIServersApart is how many minors the API servers of one cluster may differ by.
func (c *Catalog) APIServersApart() uint64 { return c.apart.Apart }

// RemovedAPI gives the row of an API version by group, version and resource.
func (c *Catalog) RemovedAPI(group, version, resource string) (RemovedAPI, bool) {
	for _, r := range c.removed {
		if r.Group == group && r.Version == version && r.Resource == resource {
			return r, true
		}
	}
	return RemovedAPI{}, false
}

// TagVersion reads the version out of an image tag: 3.6.5-0, v1.12.1.
func TagVersion(tag string) (cluster.Version, error) {
	bare, _, _ := strings.Cut(tag, "-")
	return cluster.ParseVersion(bare)
}
