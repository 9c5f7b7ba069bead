package machine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/internal/lab/hollow/pki"
)

const (
	kubeadmTemp = "/etc/kubernetes/tmp"
	// restartTimeout is kubeadm's UpgradeManifests timeout.
	restartTimeout = 5 * time.Minute
	leastTimeout   = 30 * time.Second
	restartPolling = 500 * time.Millisecond
	leastPolling   = 5 * time.Millisecond
)

// move is an upgrade of static pods that is under way.
type move struct {
	*kubeadmRun
	u      *upgrade
	backup string            // directory of the old manifests
	next   map[string][]byte // the new manifests
	moved  []string          // components whose old manifest is in the backup
}

// upgradeControlPlane is kubeadm's phase control-plane.
func (r *kubeadmRun) upgradeControlPlane(ctx context.Context, u *upgrade) error {
	if !u.controlPlane {
		r.say("[upgrade/control-plane] Skipping phase. Not a control plane node.")
		return nil
	}
	if r.on("dry-run", false) {
		r.say("[dryrun] Would upgrade your static Pod-hosted control plane to version %q", u.to)
		return nil
	}
	r.say("[upgrade/control-plane] Upgrading your Static Pod-hosted control plane instance to version %q (timeout: %s)...", u.to, restartTimeout)
	next, err := r.writer(u).All()
	if err != nil {
		return err
	}
	stamp := r.m.now().UTC().Format("2006-01-02-15-04-05")
	mv := &move{kubeadmRun: r, u: u, backup: path.Join(kubeadmTemp, "kubeadm-backup-manifests-"+stamp), next: next}
	if err := r.p.FS.MkdirAll(mv.backup, 0o700); err != nil {
		return err
	}
	if r.on("etcd-upgrade", true) {
		if err := mv.etcd(ctx, path.Join(kubeadmTemp, "kubeadm-backup-etcd-"+stamp)); err != nil {
			return err
		}
	}
	r.say("[upgrade/staticpods] Writing new Static Pod manifests to %q", path.Join(kubeadmTemp, "kubeadm-upgraded-manifests"))
	for _, component := range manifest.Components() {
		if err := mv.component(ctx, component, false); err != nil {
			return fmt.Errorf("couldn't complete the static pod upgrade: %w", err)
		}
	}
	if err := mv.renewAdmins(ctx); err != nil {
		return err
	}
	if err := r.addonsInOldOrder(ctx, u); err != nil {
		return err
	}
	r.say("[upgrade/control-plane] The control plane instance for this node was successfully upgraded!")
	return nil
}

// etcd upgrades the node's member, unless its version would go down.
func (mv *move) etcd(ctx context.Context, backup string) error {
	f := mv.p.FS
	if err := f.MkdirAll(backup, 0o700); err != nil {
		return err
	}
	if err := f.WriteFile(backup+"/db", []byte("hollow copy of "+manifest.EtcdData+"\n"), 0o600); err != nil {
		return fmt.Errorf("failed to back up etcd data: %w", err)
	}
	have, err := f.ReadFile(path.Join(manifest.Dir, manifest.Etcd+".yaml"))
	if err != nil {
		return fmt.Errorf("failed to retrieve the current etcd version: %w", err)
	}
	desired, err := catalog.TagVersion(tagOf(mv.u.images.Etcd))
	if err != nil {
		return fmt.Errorf("failed to retrieve an etcd version for the target Kubernetes version: %w", err)
	}
	current, err := catalog.TagVersion(tagOf(manifest.Image(have)))
	if err != nil {
		return fmt.Errorf("failed to retrieve the current etcd version: %w", err)
	}
	if desired.Less(current) {
		mv.say("[upgrade/etcd] Non fatal issue encountered during upgrade: the desired etcd version %q is older than the currently installed %q. Skipping etcd upgrade", desired.Bare(), current.Bare())
		return nil
	}
	text, err := mv.writer(mv.u).Etcd(nil)
	if err != nil {
		return err
	}
	mv.next[manifest.Etcd] = text
	serverMoves, err := mv.differs(apiServer)
	if err != nil {
		return err
	}
	restarts := serverMoves && !mv.line().Less(minor(33)) // earlier ones look at etcd's manifest alone
	if err := mv.component(ctx, manifest.Etcd, restarts); err != nil {
		return fmt.Errorf("fatal error when trying to upgrade the etcd cluster, rolled the state back to pre-upgrade state: %w", err)
	}
	mv.say("[upgrade/etcd] Waiting for etcd to become available")
	if err := mv.available(ctx); err != nil {
		return mv.etcdBack(ctx, backup, err)
	}
	return nil
}

// kubeadm asks etcd so often, with pauses, and each question may take two minutes.
const (
	etcdTimeout      = 22 * time.Minute
	leastEtcdTimeout = 5 * time.Second
)

// available waits until the node's member serves.
func (mv *move) available(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(mv.m.scaled(etcdTimeout), leastEtcdTimeout))
	defer cancel()
	for !mv.m.runtime.serves(manifest.Etcd) {
		if err := mv.m.wait(ctx, restartPolling); err != nil {
			return errors.New("timeout waiting for etcd cluster to be available")
		}
	}
	return nil
}

// etcdBack is how kubeadm takes a member back that does not serve. The copy of its data
// ends up beside them: "cp -r" into a directory that is there.
func (mv *move) etcdBack(ctx context.Context, backup string, because error) error {
	if ctx.Err() != nil {
		return because // killed: nothing is rolled back
	}
	mv.say("[upgrade/etcd] Failed to healthcheck etcd: %v\n[upgrade/etcd] Rolling back etcd data", because)
	beside := path.Join(manifest.EtcdData, path.Base(backup))
	if err := errors.Join(mv.p.FS.MkdirAll(beside, 0o700), mv.p.FS.WriteFile(beside+"/db", []byte("hollow copy of "+manifest.EtcdData+"\n"), 0o600)); err != nil {
		return fmt.Errorf("fatal error rolling back local etcd cluster datadir: %w", err)
	}
	mv.say("[upgrade/etcd] Rolling back etcd manifest")
	_ = mv.rollback(because) // it always has an error; this is the one
	if err := mv.available(ctx); err != nil {
		return fmt.Errorf("fatal error rolling back local etcd cluster manifest: %w", err)
	}
	mv.say("[upgrade/etcd] Etcd was rolled back and is now available")
	return fmt.Errorf("fatal error upgrading local etcd cluster, rolled the state back to pre-upgrade state: %w", because)
}

// differs tells whether the component's new manifest says something else than the
// one that is there.
func (mv *move) differs(component string) (bool, error) {
	have, err := mv.p.FS.ReadFile(path.Join(manifest.Dir, component+".yaml"))
	if err != nil {
		return false, err
	}
	return !sameManifest(have, mv.next[component]), nil
}

func sameManifest(a, b []byte) bool {
	var x, y corev1.Pod
	if yaml.Unmarshal(a, &x) != nil || yaml.Unmarshal(b, &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}

// component moves one static pod to its new manifest and waits until it is ready.
// One whose manifest stays as it is is left alone, its certificates too, unless it
// restarts anyway.
func (mv *move) component(ctx context.Context, component string, restarts bool) error {
	mv.say("[upgrade/staticpods] Preparing for %q upgrade", component)
	differs, err := mv.differs(component)
	if err != nil {
		return err
	}
	if !differs && !restarts {
		mv.say("[upgrade/staticpods] Current and new manifests of %s are equal, skipping upgrade", component)
		return nil
	}
	if mv.on("certificate-renewal", true) {
		if err := mv.renewFor(ctx, component); err != nil {
			return mv.rollback(fmt.Errorf("failed to renew certificates for component %q: %w", component, err))
		}
	}
	before, err := mv.hash(component)
	if err != nil {
		return err
	}
	real, old := path.Join(manifest.Dir, component+".yaml"), path.Join(mv.backup, component+".yaml")
	mv.say("[upgrade/staticpods] Moving new manifest to %q and backing up old manifest to %q", real, old)
	if err := mv.p.FS.Rename(real, old); err != nil {
		return mv.rollback(err)
	}
	mv.moved = append(mv.moved, component)
	if err := mv.put(real, mv.next[component]); err != nil {
		return mv.rollback(err)
	}
	mv.say("[upgrade/staticpods] Waiting for the kubelet to restart the component\n[upgrade/staticpods] This can take up to %s", restartTimeout)
	if err := mv.restarted(ctx, component, before, differs); err != nil {
		if ctx.Err() != nil {
			return err // killed: nothing is rolled back
		}
		return mv.rollback(err)
	}
	mv.say("[upgrade/staticpods] Component %q upgraded successfully!", component)
	return nil
}

// put writes a manifest whole.
func (mv *move) put(file string, text []byte) error {
	temp := path.Join(kubeadmTemp, path.Base(file))
	if err := mv.p.FS.WriteFile(temp, text, 0o600); err != nil {
		return err
	}
	return mv.p.FS.Rename(temp, file)
}

// rollback puts the old manifests back.
func (mv *move) rollback(because error) error {
	errs := []error{because}
	for _, component := range mv.moved {
		errs = append(errs, mv.p.FS.Rename(path.Join(mv.backup, component+".yaml"), path.Join(manifest.Dir, component+".yaml")))
	}
	return fmt.Errorf("couldn't upgrade control plane. kubeadm has tried to recover everything into the earlier state. Errors faced: %w", errors.Join(errs...))
}

// hash is the mirror pod's; empty when it cannot be asked.
func (mv *move) hash(component string) (string, error) {
	api, err := mv.m.cfg.API()
	if err != nil {
		return "", fmt.Errorf("failed to obtain static-pod hash for component %s on Node %s: %w", component, mv.m.cfg.Name, err)
	}
	p, err := get[corev1.Pod](api, resourcePods, systemNamespace, component+"-"+mv.m.cfg.Name)
	if err != nil {
		return "", fmt.Errorf("failed to obtain static-pod hash for component %s on Node %s: %w", component, mv.m.cfg.Name, err)
	}
	return p.Annotations[annotationHash], nil
}

// restarted waits until the mirror pod has another hash, if it is to, and until all
// pods of the component run.
func (mv *move) restarted(ctx context.Context, component, before string, changes bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, max(mv.m.scaled(restartTimeout), leastTimeout), errRestartTimeout)
	defer cancel()
	for {
		if now, err := mv.hash(component); err == nil && (!changes || now != before) && mv.running(component) {
			return nil
		}
		timer := time.NewTimer(max(mv.m.scaled(restartPolling), leastPolling))
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("static Pod hash for component %s on Node %s did not change after %s: %w", component, mv.m.cfg.Name, restartTimeout, context.Cause(ctx))
		case <-timer.C:
		}
	}
}

var errRestartTimeout = errors.New("timed out waiting for the condition")

// running tells whether the pods of the component run, on this node and on others.
func (mv *move) running(component string) bool {
	api, err := mv.m.cfg.API()
	if err != nil {
		return false
	}
	pods, err := list[corev1.Pod](api, resourcePods, systemNamespace, func(u *unstructured.Unstructured) bool { return u.GetLabels()[labelComponent] == component })
	return err == nil && len(pods) > 0 && !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return p.Status.Phase != corev1.PodRunning })
}

// certificatesOf are what kubeadm renews with a component.
func certificatesOf(component string) []string {
	switch component {
	case manifest.Etcd:
		return pki.EtcdNames()
	case apiServer:
		return []string{"apiserver", "apiserver-kubelet-client", "front-proxy-client", "apiserver-etcd-client"}
	case "kube-controller-manager":
		return []string{"controller-manager.conf"}
	case "kube-scheduler":
		return []string{"scheduler.conf"}
	}
	return nil
}

func (mv *move) renewFor(ctx context.Context, component string) error {
	for _, name := range certificatesOf(component) {
		mv.say("[upgrade/staticpods] Renewing %s certificate", name)
	}
	return mv.m.renewCertificates(ctx, mv.p.FS, certificatesOf(component)...)
}

// renewAdmins renews the administrators' kubeconfigs, whatever else was renewed.
func (mv *move) renewAdmins(ctx context.Context) error {
	if !mv.on("certificate-renewal", true) {
		return nil
	}
	return mv.m.renewCertificates(ctx, mv.p.FS, "admin.conf", "super-admin.conf")
}
