package inventory

import "strings"

func (c *checker) packages() *Error {
	p := &c.inv.Packages
	if bad := c.positive("packages.lockTimeout", p.LockTimeout, "5m"); bad != nil {
		return bad
	}
	if p.Manager == Binaries {
		return c.binaries(&p.Binaries)
	}
	if _, given := c.at["packages.binaries"]; given {
		return c.fail("packages.binaries", "is for manager: binaries only, and the manager is "+string(p.Manager), "remove it, or set manager: binaries")
	}
	if bad := c.template("packages.repository", p.Repository, []string{"{minor}"}, nil); bad != nil {
		return bad
	}
	if bad := c.remotePath("packages.repositoryFile", p.RepositoryFile); bad != nil {
		return bad
	}
	if p.SigningKey == "" {
		return nil
	}
	return c.remotePath("packages.signingKey", p.SigningKey)
}

func (c *checker) binaries(b *BinaryURLs) *Error {
	for _, field := range []string{"packages.repository", "packages.repositoryFile", "packages.signingKey"} {
		if _, given := c.at[field]; given {
			return c.fail(field, "is for apt and dnf only, and the manager is binaries", "remove it, or correct the manager")
		}
	}
	may := []string{"{arch}"}
	if bad := c.template("packages.binaries.url", b.URL, []string{"{version}", "{binary}"}, may); bad != nil {
		return bad
	}
	// {url} may carry the rest; without it the checksum needs its own parts.
	sum := strings.ReplaceAll(b.ChecksumURL, "{url}", b.URL)
	return c.template("packages.binaries.checksumURL", sum, []string{"{version}", "{binary}"}, may)
}
