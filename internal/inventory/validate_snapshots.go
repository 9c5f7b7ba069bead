package inventory

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// slowest is the lowest limit: below, a member would keep the state of one moment for
// days.
const slowest Bytes = 64 << 10

func (c *checker) snapshots() *Error {
	s := &c.inv.Snapshots
	if s.Keep < 1 {
		return c.fail("snapshots.keep", fmt.Sprintf("%d would keep no way back", s.Keep), "use at least 1")
	}
	if s.Limit != 0 && s.Limit < slowest {
		return c.fail("snapshots.limit", s.Limit.String()+" a second would take days", "use at least "+slowest.String())
	}
	for i, r := range s.Recipients {
		at := fmt.Sprintf("snapshots.recipients[%d]", i)
		// What is written there is not repeated: it may be a secret.
		if strings.HasPrefix(strings.ToUpper(r), "AGE-SECRET-KEY-") {
			return c.fail(at, "is a secret key", "write the public key, age1…, and keep the secret one where restores are done")
		}
		if !recipient.MatchString(r) {
			return c.fail(at, "is not a public key of age", "write what age-keygen prints as public key: age1…")
		}
	}
	return c.second()
}

var (
	recipient  = regexp.MustCompile(`^age1[0-9a-z]{20,}$`)
	bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$`)
	objectName = regexp.MustCompile(`^[A-Za-z0-9._/=-]*$`)
)

func (c *checker) second() *Error {
	s := &c.inv.Snapshots
	_, bucket := c.at["snapshots.second.s3"]
	switch {
	case !bucket:
		if s.Second.Directory != "" && s.Second.Directory == s.Directory {
			return c.fail("snapshots.second.directory", "is snapshots.directory", "name another one, on other disks")
		}
		return nil
	case s.Second.Directory != "":
		return c.fail("snapshots.second.s3", "is given together with directory", "keep one of the two")
	}
	b, at := &s.Second.S3, "snapshots.second.s3."
	u, err := url.Parse(b.Endpoint)
	switch {
	case err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return c.fail(at+"endpoint", "is not the URL of a store", "write one such as https://s3.example.com, without the bucket")
	case u.User != nil:
		return c.fail(at+"endpoint", "holds a password or user name", "keep credentials in snapshots.second.s3.credentialsFile")
	case u.Scheme == "http" && len(s.Recipients) == 0 && s.RecipientsFile == "" && !isLoopback(u.Hostname()):
		return c.fail(at+"endpoint", "would send every Secret of the cluster readable over the network", "use https, or set snapshots.recipients")
	case !bucketName.MatchString(b.Bucket):
		return c.fail(at+"bucket", quoted(b.Bucket)+" is not the name of a bucket", "use letters, digits, dots and dashes")
	case !objectName.MatchString(b.Prefix):
		return c.fail(at+"prefix", quoted(b.Prefix)+" is not a prefix", "use letters, digits, dots, dashes and slashes")
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
