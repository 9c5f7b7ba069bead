package cluster

// Stored is which API versions and kinds the objects in etcd are stored as, read
// from a snapshot. It holds names and counts, never contents.
type Stored struct {
	// Revision is etcd's, of the newest write in the snapshot.
	Revision int64
	// Prefix is what every key begins with: /registry/.
	Prefix string
	// Kinds are sorted by path, group, version and kind.
	Kinds []StoredKind
	// Encrypted values are those an API server encrypted: what is in them cannot
	// be told without its key.
	Encrypted []StoredPath
	// Unreadable values are neither encrypted nor in any form that an API server
	// writes.
	Unreadable []StoredPath
	// Definitions are the CustomResourceDefinitions, by name.
	Definitions []StoredDefinition
	// Aggregated are the groups that aggregated API servers answer for, sorted.
	// They keep their objects elsewhere.
	Aggregated []string
}

// StoredPath is where objects of one resource are kept.
type StoredPath struct {
	// Path is below the API servers' --etcd-prefix: pods, services/specs,
	// cert-manager.io/issuers.
	Path  string
	Count int
	// Examples are up to five keys below Path, such as namespace/name.
	Examples []string
}

// StoredKind counts the objects stored under one path as one version of a kind.
type StoredKind struct {
	StoredPath
	Group   string // empty: core
	Version string
	Kind    string
}

// APIVersion gives "v1" or "apps/v1".
func (k StoredKind) APIVersion() string {
	if k.Group == "" {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

// StoredDefinition is a CustomResourceDefinition, which says what versions of
// its custom resources an API server can read.
type StoredDefinition struct {
	Name     string // plural.group
	Group    string
	Kind     string
	Resource string // plural
	// Versions are those in spec: a stored object in any other cannot be read.
	Versions []StoredDefinitionVersion
	// StoredVersions is status.storedVersions.
	StoredVersions []string
}

// StoredDefinitionVersion is one version in a CustomResourceDefinition.
type StoredDefinitionVersion struct {
	Name    string
	Served  bool
	Storage bool // new writes use it
}

// Has tells whether the definition's spec lists the version.
func (d *StoredDefinition) Has(version string) bool {
	for _, v := range d.Versions {
		if v.Name == version {
			return true
		}
	}
	return false
}

// Storage is the version that new writes use; empty when there is none.
func (d *StoredDefinition) Storage() string {
	for _, v := range d.Versions {
		if v.Storage {
			return v.Name
		}
	}
	return ""
}
