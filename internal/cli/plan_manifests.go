package cli

import (
	"fmt"
	"os"

	"github.com/kup-project/kup/internal/manifest"
	"github.com/kup-project/kup/pkg/cluster"
)

// addManifests reads the manifests below a directory into what preflight judges;
// an empty directory name asks for nothing.
func addManifests(dir string, seen *cluster.Scan) error {
	if dir == "" {
		return nil
	}
	refuse := func(err error) error {
		return &usageError{err: fmt.Errorf("manifests: %w", err), hint: "name a directory that can be read with --manifests"}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return refuse(err)
	}
	if !info.IsDir() {
		return refuse(fmt.Errorf("%s is not a directory", dir))
	}
	found, err := manifest.Read(os.DirFS(dir))
	if err != nil {
		return refuse(err)
	}
	if seen.Objects == nil {
		seen.Objects = &cluster.Objects{}
	}
	seen.Objects.Manifests = &found
	return nil
}
