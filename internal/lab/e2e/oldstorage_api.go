package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// servedTimeout is for the kubelet to see a manifest, and an API server to end and
// start.
const servedTimeout = 5 * time.Minute

// serveScript starts the API server with a version of the migrations' API, which
// is off by default, or without: its arguments are the version or nothing, the
// manifest, and where that is kept meanwhile. The new one takes the old one's
// place in one step; the kubelet passes over names that begin with a dot.
// Source: kubernetes pkg/kubelet/config/file.go and file_linux.go.
const serveScript = `version=$1 manifest=$2 kept=$3
new=${manifest%/*}/.kup-lab-new
if [ -n "$version" ]; then
  cp -a "$manifest" "$kept"
  cp -a "$manifest" "$new"
  sed 's|^    - kube-apiserver$|&\n    - --feature-gates=StorageVersionMigrator=true\n    - --runtime-config=storagemigration.k8s.io/'"$version"'=true|' "$kept" >"$new"
  grep -q -e "--runtime-config=storagemigration.k8s.io/$version=true" "$new"
  mv "$new" "$manifest"
else
  cp -a "$kept" "$new"
  mv "$new" "$manifest"
  rm "$kept"
fi`

const (
	apiServerManifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
	apiServerKept     = "/root/kube-apiserver.kup"
)

// serve has the API server serve a version of the migrations' API.
func (s *oldStorage) serve(ctx context.Context, version string) error {
	if err := s.restart(ctx, version); err != nil {
		return err
	}
	return s.serving(ctx, version, true)
}

// serveNo takes that back.
func (s *oldStorage) serveNo(ctx context.Context, version string) error {
	if err := s.restart(ctx, ""); err != nil {
		return err
	}
	return s.serving(ctx, version, false)
}

func (s *oldStorage) restart(ctx context.Context, version string) error {
	_, err := s.lab.Exec(ctx, s.first().Name, "sh", "-euc", serveScript, "sh", version, apiServerManifest, apiServerKept)
	return err
}

// serving waits until the version is served, or not, and the API server is ready.
func (s *oldStorage) serving(ctx context.Context, version string, want bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, servedTimeout, fmt.Errorf("the API server did not restart within %s", servedTimeout))
	defer cancel()
	began := time.Now()
	err := poll(ctx, 2*time.Second, func(ctx context.Context) error {
		_, err := s.client.Discovery().ServerResourcesForGroupVersion(migrationGroup + "/" + version)
		switch {
		case want && err != nil:
			return err
		case !want && err == nil:
			return fmt.Errorf("%s/%s is still served", migrationGroup, version)
		case !want && !apierrors.IsNotFound(err):
			return err
		}
		pod, err := s.client.CoreV1().Pods(systemNamespace).Get(ctx, "kube-apiserver-"+s.first().Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("pod %s is not ready", pod.Name)
	})
	if err != nil {
		return err
	}
	s.printf("the API server serves %s/%s: %t (%s)", migrationGroup, version, want, seconds(time.Since(began)))
	return s.env.settled(ctx, settleTimeout)
}

// etcdctl runs in etcd's container on the first control plane.
func (s *oldStorage) etcdctl(ctx context.Context, args ...string) (string, error) {
	const script = `exec crictl exec "$(crictl ps -q --state running --name '^etcd$' | head -n 1)" etcdctl --endpoints=https://127.0.0.1:2379 ` +
		`--cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key "$@"`
	return s.lab.Exec(ctx, s.first().Name, append([]string{"sh", "-euc", script, "sh"}, args...)...)
}

// listTimeout is for an API server that has just started to read all it serves.
const listTimeout = 2 * time.Minute

// lists asserts that the API server lists every version of every resource it
// serves, but the one that must fail; none when that is empty.
func (s *oldStorage) lists(ctx context.Context, mustFail string) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var failed map[string]error
	total := 0
	err := poll(ctx, 2*time.Second, func(ctx context.Context) error {
		var err error
		if failed, total, err = s.unlistable(ctx); err != nil {
			return err
		}
		var late []error
		for what, why := range failed {
			if what != mustFail {
				late = append(late, fmt.Errorf("%s: %w", what, why))
			}
		}
		return errors.Join(late...)
	})
	s.printf("of %d resources %d can be listed", total, total-len(failed))
	s.check(err == nil, "the API server of %s cannot list: %v", s.to, err)
	if mustFail != "" {
		s.others = total - len(failed)
		s.check(cannotDecode(failed[mustFail]), "the list of %s does not fail as it should: %v", mustFail, failed[mustFail])
	}
	return nil
}

// unlistable tries to list every version of every resource, and gives those that
// cannot be, with the reason, and how many there are in all. A limit is set because
// without one an API server whose cache of the resource has not come up only says
// that it is not ready (k8s.io/apiserver pkg/storage/cacher/delegator.go).
func (s *oldStorage) unlistable(ctx context.Context) (failed map[string]error, total int, err error) {
	_, lists, err := s.client.Discovery().ServerGroupsAndResources()
	if err != nil {
		return nil, 0, fmt.Errorf("discover resources: %w", err)
	}
	failed = map[string]error{}
	for _, l := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list"}}, lists) {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return nil, 0, err
		}
		for _, r := range l.APIResources {
			if strings.Contains(r.Name, "/") {
				continue
			}
			total++
			if _, err := s.dynamic.Resource(gv.WithResource(r.Name)).List(ctx, metav1.ListOptions{Limit: listPage}); err != nil {
				failed[gv.WithResource(r.Name).String()] = err
			}
		}
	}
	return failed, total, nil
}
