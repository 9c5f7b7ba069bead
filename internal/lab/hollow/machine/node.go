package machine

import (
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/pkg/cluster"
)

const (
	leaseNamespace     = "kube-node-lease"
	labelHostname      = "kubernetes.io/hostname"
	labelControlPlane  = "node-role.kubernetes.io/control-plane"
	annotationSocket   = "kubeadm.alpha.kubernetes.io/cri-socket"
	osImage            = "Debian GNU/Linux 12 (bookworm)"
	runtimeVersion     = "containerd://1.7.28"
	leaseSeconds       = 40
	reasonReady        = "KubeletReady"
	reasonNotReady     = "KubeletNotReady"
	reasonStatusLost   = "NodeStatusUnknown"
	messageStatusLost  = "Kubelet stopped posting node status."
	messageSick        = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady"
	messageNewerFormat = "kubelet %s is newer than the API server: %s"
)

// Join puts the host's node into the API as kubeadm init and join do, with its role
// and the runtime's socket. The kubelet keeps its status from then on.
func (m *Machine) Join(api Objects) error {
	n := m.node()
	if m.cfg.Role == cluster.ControlPlane {
		n.Labels[labelControlPlane] = ""
		n.Labels["node.kubernetes.io/exclude-from-external-load-balancers"] = ""
		n.Spec.Taints = []corev1.Taint{{Key: labelControlPlane, Effect: corev1.TaintEffectNoSchedule}}
	}
	if _, err := m.fs.Stat(manifest.KubeletInstance); err != nil {
		n.Annotations[annotationSocket] = manifest.Socket
	}
	kubelet, ok := stampOf(m.fs, kubeletUnit)
	if !ok {
		return fmt.Errorf("join %s: %w", m.cfg.Name, errNoKubelet)
	}
	m.setNodeStatus(n, kubelet, "")
	if err := create(api, resourceNodes, n); err != nil {
		return fmt.Errorf("join %s: %w", m.cfg.Name, err)
	}
	return nil
}

// node is the node as a kubelet registers it.
func (m *Machine) node() *corev1.Node {
	labels := map[string]string{
		labelHostname: m.cfg.Name, "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture,
		"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": architecture,
	}
	n := &corev1.Node{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{
			Name: m.cfg.Name, Labels: labels,
			Annotations: map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true", "node.alpha.kubernetes.io/ttl": "0"},
		},
	}
	if m.cfg.PodCIDR.IsValid() {
		n.Spec.PodCIDR = m.cfg.PodCIDR.String()
		n.Spec.PodCIDRs = []string{n.Spec.PodCIDR}
	}
	return n
}

// report keeps the node's status and its lease.
func (k *kubelet) report(api Objects, pods []*unstructured.Unstructured) error {
	m := k.m
	why, err := k.tooNew(pods)
	if err != nil {
		return err
	}
	if why != "" {
		k.soon() // other nodes' pods wake nobody here
		why = fmt.Sprintf(messageNewerFormat, k.version, why)
	} else if m.isSick(k.version) {
		why = messageSick
	}
	n, err := get[corev1.Node](api, resourceNodes, "", m.cfg.Name)
	if apierrors.IsNotFound(err) {
		n = m.node()
		m.setNodeStatus(n, k.version, why)
		return create(api, resourceNodes, n)
	}
	if err != nil {
		return err
	}
	if want := n.DeepCopy(); m.setNodeStatus(want, k.version, why) {
		err = modify(api, resourceNodes, "", m.cfg.Name, func(now *corev1.Node) { m.setNodeStatus(now, k.version, why) })
	}
	if err := errors.Join(err, m.renewLease(api)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.posted = time.Now()
	return nil
}

// setNodeStatus writes what the kubelet says of its node; false: it was all there.
func (m *Machine) setNodeStatus(n *corev1.Node, kubelet cluster.Version, notReady string) (changed bool) {
	st := &n.Status
	boot, _ := m.fs.ReadFile("/proc/sys/kernel/random/boot_id") //nolint:errcheck // an empty id is one too
	info := corev1.NodeSystemInfo{
		KubeletVersion: kubelet.String(), ContainerRuntimeVersion: runtimeVersion, OSImage: osImage, KernelVersion: kernel,
		Architecture: architecture, OperatingSystem: "linux", BootID: string(trimmed(boot)), MachineID: machineID(m.cfg.Name), SystemUUID: machineID(m.cfg.Name),
	}
	if st.NodeInfo != info {
		st.NodeInfo, changed = info, true
	}
	if len(st.Addresses) == 0 {
		st.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: m.cfg.IP}, {Type: corev1.NodeHostName, Address: m.cfg.Name}}
		st.Capacity = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110"),
			corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
		}
		st.Allocatable = st.Capacity.DeepCopy()
		changed = true
	}
	now := metav1.NewTime(m.now().UTC().Truncate(time.Second))
	for kind, reason := range map[corev1.NodeConditionType]string{
		corev1.NodeMemoryPressure: "KubeletHasSufficientMemory", corev1.NodeDiskPressure: "KubeletHasNoDiskPressure", corev1.NodePIDPressure: "KubeletHasSufficientPID",
	} {
		changed = setNodeCondition(st, corev1.NodeCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reason}, now) || changed
	}
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: reasonReady, Message: "kubelet is posting ready status"}
	if notReady != "" {
		ready = corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: reasonNotReady, Message: notReady}
	}
	return setNodeCondition(st, ready, now) || changed
}

// setNodeCondition writes a condition; false: it is that already.
func setNodeCondition(st *corev1.NodeStatus, want corev1.NodeCondition, now metav1.Time) bool {
	want.LastHeartbeatTime, want.LastTransitionTime = now, now
	for i := range st.Conditions {
		c := &st.Conditions[i]
		if c.Type != want.Type {
			continue
		}
		if c.Status == want.Status && c.Reason == want.Reason && c.Message == want.Message {
			return false
		}
		if c.Status == want.Status {
			want.LastTransitionTime = c.LastTransitionTime
		}
		*c = want
		return true
	}
	st.Conditions = append(st.Conditions, want)
	return true
}

// renewLease is the heartbeat.
func (m *Machine) renewLease(api Objects) error {
	now := metav1.NewMicroTime(m.now().UTC())
	lease, err := get[coordinationv1.Lease](api, resourceLeases, leaseNamespace, m.cfg.Name)
	if apierrors.IsNotFound(err) {
		name, seconds := m.cfg.Name, int32(leaseSeconds)
		return create(api, resourceLeases, &coordinationv1.Lease{
			TypeMeta:   metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"},
			ObjectMeta: metav1.ObjectMeta{Namespace: leaseNamespace, Name: name},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		})
	}
	if err != nil {
		return err
	}
	if at := lease.Spec.RenewTime; at != nil && now.Sub(at.Time) >= 0 && now.Sub(at.Time) < max(m.scaled(heartbeat), leastHeartbeat) {
		return nil
	}
	return modify(api, resourceLeases, leaseNamespace, m.cfg.Name, func(l *coordinationv1.Lease) { l.Spec.RenewTime = &now })
}

// missHeartbeats does what the node lifecycle controller does about a kubelet that is
// gone: after a while its node's state is unknown, and its pods are not ready.
func (m *Machine) missHeartbeats() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.missing || m.closed {
		return
	}
	m.missing = true
	since := time.Now()
	m.tasks.Go(func() {
		defer m.noLongerMissing()
		patience := time.NewTimer(max(m.scaled(deadAfter), leastPatience))
		defer patience.Stop()
		select {
		case <-m.closing:
			return
		case <-patience.C:
		}
		if m.postedSince(since) {
			return
		}
		if api, err := m.cfg.API(); err == nil {
			if err := m.markLost(api); err != nil {
				m.log.notef("mark node %s as lost: %v", m.cfg.Name, err)
			}
		}
	})
}

func (m *Machine) noLongerMissing() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missing = false
}

func (m *Machine) postedSince(t time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.posted.After(t)
}

func (m *Machine) markLost(api Objects) error {
	now := metav1.NewTime(m.now().UTC().Truncate(time.Second))
	errs := []error{absent(modify(api, resourceNodes, "", m.cfg.Name, func(n *corev1.Node) {
		setNodeCondition(&n.Status, corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: reasonStatusLost, Message: messageStatusLost}, now)
	}))}
	pods, err := list[corev1.Pod](api, resourcePods, "", func(u *unstructured.Unstructured) bool { return nodeOf(u) == m.cfg.Name })
	errs = append(errs, err)
	for _, p := range pods {
		if isReady(p) {
			errs = append(errs, absent(modify(api, resourcePods, p.Namespace, p.Name, func(p *corev1.Pod) {
				setPodCondition(&p.Status, corev1.PodReady, false, now)
			})))
		}
	}
	return errors.Join(errs...)
}

// machineID makes up an id from a name, the same every time.
func machineID(name string) string { return digestOf("machine " + name)[7:39] }
