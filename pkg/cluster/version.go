package cluster

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Version is a release of Kubernetes or etcd: major, minor and patch. The zero
// Version means "unknown". Versions are ordered by [Version.Compare].
type Version struct {
	Major, Minor, Patch uint64
}

// ParseVersion reads "v1.34.4" or "1.34.4"; a pre-release or build suffix is
// refused, since kubeadm clusters are only ever upgraded between releases.
func ParseVersion(s string) (Version, error) {
	v, err := semver.StrictNewVersion(strings.TrimPrefix(s, "v"))
	if err != nil {
		return Version{}, fmt.Errorf("version %q: want vMAJOR.MINOR.PATCH, such as v1.34.4", s)
	}
	if v.Prerelease() != "" {
		return Version{}, fmt.Errorf("version %q: pre-releases are not supported", s)
	}
	return Version{v.Major(), v.Minor(), v.Patch()}, nil
}

// MustParseVersion is ParseVersion for constants and tests; it panics on error.
func MustParseVersion(s string) Version {
	v, err := ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

// String gives "v1.34.4", or "" for the zero Version.
func (v Version) String() string {
	if v.IsZero() {
		return ""
	}
	return "v" + v.Bare()
}

// Bare gives "1.34.4", the form that package managers and image tags of etcd use.
func (v Version) Bare() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// IsZero tells whether the version is unknown.
func (v Version) IsZero() bool { return v == Version{} }

// Line gives the minor line the version belongs to.
func (v Version) Line() Minor { return Minor{v.Major, v.Minor} }

// Compare orders versions: negative when v is older than w.
func (v Version) Compare(w Version) int {
	if c := v.Line().Compare(w.Line()); c != 0 {
		return c
	}
	return compare(v.Patch, w.Patch)
}

// Less tells whether v is older than w.
func (v Version) Less(w Version) bool { return v.Compare(w) < 0 }

// MarshalText implements encoding.TextMarshaler.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Version) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*v = Version{}
		return nil
	}
	parsed, err := ParseVersion(string(b))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}

// Minor is a minor line such as 1.34, the unit of a hop.
type Minor struct {
	Major, Minor uint64
}

// ParseMinor reads "1.34" or "v1.34".
func ParseMinor(s string) (Minor, error) {
	major, minor, ok := strings.Cut(strings.TrimPrefix(s, "v"), ".")
	a, errA := strconv.ParseUint(major, 10, 16)
	b, errB := strconv.ParseUint(minor, 10, 16)
	if !ok || errA != nil || errB != nil {
		return Minor{}, fmt.Errorf("minor version %q: want MAJOR.MINOR, such as 1.34", s)
	}
	return Minor{a, b}, nil
}

// String gives "1.34".
func (m Minor) String() string { return fmt.Sprintf("%d.%d", m.Major, m.Minor) }

// Next gives the minor line one above.
func (m Minor) Next() Minor { return Minor{m.Major, m.Minor + 1} }

// Compare orders minor lines: negative when m is older than n.
func (m Minor) Compare(n Minor) int {
	if c := compare(m.Major, n.Major); c != 0 {
		return c
	}
	return compare(m.Minor, n.Minor)
}

// Less tells whether m is older than n.
func (m Minor) Less(n Minor) bool { return m.Compare(n) < 0 }

// MarshalText implements encoding.TextMarshaler.
func (m Minor) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Minor) UnmarshalText(b []byte) error {
	parsed, err := ParseMinor(string(b))
	if err != nil {
		return err
	}
	*m = parsed
	return nil
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
