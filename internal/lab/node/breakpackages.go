package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/kup-project/kup/internal/lab/artifact"
	"github.com/kup-project/kup/internal/lab/artifact/depot"
)

// withdrawn stands before the path of a repository that is not served for now.
const withdrawn = "/withdrawn"

// WithdrawPackages makes the depot answer 404 for a minor's packages.
func (l *Lab) WithdrawPackages(ctx context.Context, minor string) error {
	path := artifact.Repo{Minor: minor}.URLPath()
	return l.movePackages(ctx, path, withdrawn+path)
}

// PublishPackages serves them again.
func (l *Lab) PublishPackages(ctx context.Context, minor string) error {
	path := artifact.Repo{Minor: minor}.URLPath()
	return l.movePackages(ctx, withdrawn+path, path)
}

// movePackages serves a repository at another path. One that is there already is
// left there.
func (l *Lab) movePackages(ctx context.Context, from, to string) error {
	unlock, err := artifact.LockFile(ctx, l.depotConfigPath())
	if err != nil {
		return err
	}
	defer unlock()
	raw, err := os.ReadFile(l.depotConfigPath())
	if err != nil {
		return err
	}
	var c depot.Config
	if err := json.Unmarshal(raw, &c); err != nil {
		return fmt.Errorf("%s: %w", l.depotConfigPath(), err)
	}
	dir, ok := c.Files[from]
	if !ok {
		if _, there := c.Files[to]; there {
			return nil
		}
		return fmt.Errorf("lab %s serves no packages at %s", l.Name(), from)
	}
	delete(c.Files, from)
	c.Files[to] = dir
	return l.saveDepotConfig(c)
}

// PackageVersion is the version of a package that a node has.
func (l *Lab) PackageVersion(ctx context.Context, machine, name string) (string, error) {
	return l.Exec(ctx, machine, "dpkg-query", "-W", "-f", "${Version}", name)
}

// InstallPackage installs a version such as "1.33.13-1.1" of one of Kubernetes'
// packages from its minor's repository, and holds it.
func (l *Lab) InstallPackage(ctx context.Context, machine, name, version string) error {
	minor, err := artifact.Minor("v" + strings.SplitN(version, "-", 2)[0])
	if err != nil {
		return err
	}
	line := strings.TrimSpace(string(aptSource(l.state.Topology, minor)))
	return l.runScript(ctx, machine, "package", name, version, line)
}
