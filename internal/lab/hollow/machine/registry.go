package machine

import (
	"fmt"
	"sync"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

// Registry is where all hosts pull images from. It is safe for concurrent use.
type Registry struct {
	mu     sync.Mutex
	images map[string]bool
	broken map[[2]string]bool // host and image, either may be empty for any
}

// NewRegistry makes a registry with the images.
func NewRegistry(images ...string) *Registry {
	r := &Registry{images: map[string]bool{}, broken: map[[2]string]bool{}}
	r.Add(images...)
	return r
}

// Add puts images into the registry.
func (r *Registry) Add(images ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, image := range images {
		r.images[image] = true
	}
}

// AddRelease puts the images of a release of Kubernetes into the registry.
func (r *Registry) AddRelease(known *catalog.Catalog, v cluster.Version) error {
	m, ok := known.Minor(v.Line())
	if !ok {
		return fmt.Errorf("images of %s: the catalog knows nothing of it", v)
	}
	images := m.Images(v, "", "")
	r.Add(images.ControlPlane...)
	r.Add(images.Etcd, images.KubeProxy, images.CoreDNS, images.Pause)
	return nil
}

// Fail makes pulls fail: of one image, of all when it is empty, on one host, on all
// when that is empty.
func (r *Registry) Fail(host, image string) (restore func()) {
	key := [2]string{host, image}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken[key] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.broken, key)
	}
}

// find says why a host cannot pull an image, if so.
func (r *Registry) find(host, image string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range [][2]string{{host, image}, {host, ""}, {"", image}, {"", ""}} {
		if r.broken[key] {
			return fmt.Errorf("failed to pull and unpack image %q: failed to resolve reference %q: dial tcp: connect: connection refused", image, image)
		}
	}
	if !r.images[image] {
		return fmt.Errorf("failed to pull and unpack image %q: failed to resolve reference %q: %s: not found", image, image, image)
	}
	return nil
}
