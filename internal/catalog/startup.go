package catalog

import (
	"fmt"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// startup is what keeps a component from starting, by minor.
type startup struct {
	flags         map[flagKey]LostFlag
	written       map[flagKey]string // with the source
	values        []FlagValues
	required      []RequiredFlag
	gates         map[string]Lost
	locks         map[string]LockedGate
	plugins       map[string]Lost
	groupVersions map[string]Lost
	files         map[fileKey]LostFile
	encryption    encryptionRows
	kubeadmGates  map[string]LostKubeadmGate
}

type flagKey struct{ component, flag string }

type fileKey struct{ flag, apiVersion string }

// components are those that a row for "*" speaks of.
var components = []string{"kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// Lost is a name that a component knows no more.
type Lost struct {
	In      cluster.Minor `json:"in"`      // the first minor without it
	Instead string        `json:"instead"` // what replaces it; empty: nothing
	Source  string        `json:"source"`
}

// LostFlag is a flag that a component knows no more.
type LostFlag struct {
	Lost
	// ByKubeadm is the minor whose kubeadm takes the flag out of
	// /var/lib/kubelet/kubeadm-flags.env when it upgrades a node; zero: none does.
	ByKubeadm cluster.Minor
}

// FlagValues are values that components refuse from a minor on.
type FlagValues struct {
	Components []string      `json:"components"`
	Flag       string        `json:"flag"`
	In         cluster.Minor `json:"in"`
	Only       []string      `json:"only"`    // all others are refused; empty: see Refused
	Refused    []string      `json:"refused"` // these are refused
	Unless     *GateSetting  `json:"unless"`  // a gate that makes the component take them still
	Source     string        `json:"source"`
}

// GateSetting is a feature gate and the value it has.
type GateSetting struct {
	Gate string `json:"gate"`
	Set  bool   `json:"set"`
}

// RequiredFlag is a flag without which a component of some minors does not start.
type RequiredFlag struct {
	Range
	Component string `json:"component"`
	Flag      string `json:"flag"`
	Why       string `json:"why"`
	Source    string `json:"source"`
}

// LockedGate is a feature gate that can be set to one value only.
type LockedGate struct {
	In     cluster.Minor // the first minor in which it is locked
	To     bool
	Source string
}

// LostFile is a version of a configuration file that is read no more.
type LostFile struct {
	In     cluster.Minor `json:"in"`
	Fix    string        `json:"fix"`
	Source string        `json:"source"`
}

// LostKubeadmGate is a feature gate of kubeadm itself that it knows no more.
type LostKubeadmGate struct {
	In      cluster.Minor `json:"in"`
	Refused bool          `json:"refused"` // its upgrade stops on it; false: names it and goes on
	Source  string        `json:"source"`
}

// EncryptionRow is the first minor whose API server refuses something in an
// EncryptionConfiguration.
type EncryptionRow struct {
	In     cluster.Minor `json:"in"`
	Gate   string        `json:"gate"` // makes it take it still, when enabled; empty: none
	Source string        `json:"source"`
}

type encryptionRows struct {
	CacheSizeZero EncryptionRow `json:"cacheSizeZero"`
	KMSv1         EncryptionRow `json:"kmsV1"`
}

func (c *Catalog) loadStartup() error {
	for _, load := range []func() error{c.loadStartupFlags, c.loadStartupGates, c.loadStartupVersions} {
		if err := load(); err != nil {
			return err
		}
	}
	return nil
}

// once refuses a name that is lost twice: the later row would be dead.
func once[K comparable, V any](into map[K]V, file string, key K, value V) error {
	if _, there := into[key]; there {
		return fmt.Errorf("catalog: data/%s.yaml: %v is there twice", file, key)
	}
	into[key] = value
	return nil
}

// LostFlag tells since when a component does not know a flag; false: it does, as
// far as the catalog knows. The minors of etcd are its own.
func (c *Catalog) LostFlag(component, flag string) (LostFlag, bool) {
	row, ok := c.startup.flags[flagKey{component, flag}]
	return row, ok
}

// WroteFlag tells whether kubeadm of some minors wrote the flag into the
// component's manifest itself, and writes it no more where it is refused.
func (c *Catalog) WroteFlag(component, flag string) bool {
	_, ok := c.startup.written[flagKey{component, flag}]
	return ok
}

// FlagValues are the rows about values of a component's flag.
func (c *Catalog) FlagValues(component, flag string) []FlagValues {
	var out []FlagValues
	for _, row := range c.startup.values {
		if row.Flag == flag && slices.Contains(row.Components, component) {
			out = append(out, row)
		}
	}
	return out
}

// Refuses tells whether the value is refused.
func (v FlagValues) Refuses(value string) bool {
	if len(v.Only) > 0 {
		return !slices.Contains(v.Only, value)
	}
	return slices.Contains(v.Refused, value)
}

// RequiredFlags are the flags that a component of some minors needs.
func (c *Catalog) RequiredFlags(component string) []RequiredFlag {
	var out []RequiredFlag
	for _, row := range c.startup.required {
		if row.Component == component {
			out = append(out, row)
		}
	}
	return out
}

// LostGate tells since when no component knows a feature gate.
func (c *Catalog) LostGate(name string) (Lost, bool) {
	row, ok := c.startup.gates[name]
	return row, ok
}

// LockedGate tells since when a feature gate can be set to one value only.
func (c *Catalog) LockedGate(name string) (LockedGate, bool) {
	row, ok := c.startup.locks[name]
	return row, ok
}

// LostPlugin tells since when API servers do not know an admission plugin.
func (c *Catalog) LostPlugin(name string) (Lost, bool) {
	row, ok := c.startup.plugins[name]
	return row, ok
}

// LostGroupVersion tells since when API servers do not know an API version at
// all, such as batch/v2alpha1. That they stopped serving one is [Catalog.RemovedAPI].
func (c *Catalog) LostGroupVersion(name string) (Lost, bool) {
	row, ok := c.startup.groupVersions[name]
	return row, ok
}

// LostFile tells since when the file named by a flag is not read in a version.
func (c *Catalog) LostFile(flag, apiVersion string) (LostFile, bool) {
	row, ok := c.startup.files[fileKey{flag, apiVersion}]
	return row, ok
}

// EncryptionCacheSizeZero is about cachesize: 0 of a kms provider.
func (c *Catalog) EncryptionCacheSizeZero() EncryptionRow { return c.startup.encryption.CacheSizeZero }

// EncryptionKMSv1 is about a kms provider of apiVersion v1.
func (c *Catalog) EncryptionKMSv1() EncryptionRow { return c.startup.encryption.KMSv1 }

// LostKubeadmGate tells since when kubeadm does not know one of its own feature
// gates.
func (c *Catalog) LostKubeadmGate(name string) (LostKubeadmGate, bool) {
	row, ok := c.startup.kubeadmGates[name]
	return row, ok
}
