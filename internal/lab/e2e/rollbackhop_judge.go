package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/lab/node"
)

// judgeBack asks nodes and API what is true after the rollback.
func (b *hopBack) judgeBack(ctx context.Context) error {
	b.check(b.back.code == exitRolledBack, "kup rollback: exit code %d, want %d: %s", b.back.code, exitRolledBack, b.back.errorLine())
	b.check(strings.Contains(b.back.output(), "not supported upstream"), "the plan does not say that a hop back is not supported upstream")
	b.judgeTurns()
	if err := errors.Join(b.judgeComponents(ctx), b.judgeWritten(ctx), b.judgePlanAgain(ctx), b.judgeLeaks()); err != nil {
		return err
	}
	b.judgeTraffic(b.measured, b.controlPlanes() == 1)
	b.sumTraffic()
	if b.more != nil {
		if err := b.more(ctx); err != nil {
			return err
		}
	}
	b.printTable("Summary", append([][]string{{"measured", "result"}}, b.summary...))
	return nil
}

// rank is a thing's place in the order of a way back.
func (b *hopBack) rank(turn string) int {
	of, kubelet := strings.CutPrefix(turn, "kubelet ")
	switch {
	case turn == "ConfigMap kubeadm-config", turn == "ConfigMap kubelet-config":
		return rankConfig
	case strings.HasPrefix(turn, "API server "):
		return rankServer
	case !kubelet:
		return rankAddon
	}
	for _, n := range b.lab.Nodes() {
		if n.Name == of && n.Role == node.RoleControlPlane {
			return rankControlPlane
		}
	}
	return rankWorker
}

// The order of a way back.
const (
	rankConfig = iota
	rankAddon
	rankWorker
	rankControlPlane // its kubelet
	rankServer
)

// judgeTurns wants configurations before kubelets, workers before control planes, and
// all kubelets before any API server.
func (b *hopBack) judgeTurns() {
	b.printf("went back in this order: %s", strings.Join(b.turns, "; "))
	count := map[int]int{}
	for i, turn := range b.turns {
		count[b.rank(turn)]++
		if i > 0 {
			b.check(b.rank(b.turns[i-1]) <= b.rank(turn), "%s went back before %s", b.turns[i-1], turn)
		}
	}
	kubelets := count[rankWorker] + count[rankControlPlane]
	b.check(count[rankConfig] > 0, "kubeadm's configuration was not seen going back")
	b.check(count[rankAddon] > 0, "no add-on was seen going back")
	b.check(kubelets == len(b.lab.Nodes()), "%d kubelets were seen going back, of %d", kubelets, len(b.lab.Nodes()))
	b.check(count[rankServer] == b.controlPlanes(), "%d API servers were seen going back, of %d", count[rankServer], b.controlPlanes())
	b.sum("order of turns", "%d changes seen: configuration, add-ons, workers, kubelets of control planes, API servers", len(b.turns))
}

// judgeComponents wants every component but etcd where it was before the hop.
func (b *hopBack) judgeComponents(ctx context.Context) error {
	after, err := b.askHosts(ctx)
	if err != nil {
		return err
	}
	states, err := b.nodesNow(ctx)
	if err != nil {
		return err
	}
	for _, n := range b.lab.Nodes() {
		was, is := b.before[n.Name], after[n.Name]
		b.check(is.Kubelet == was.Kubelet, "%s: kubelet is %s, was %s", n.Name, is.Kubelet, was.Kubelet)
		b.check(is.Kubeadm == was.Kubeadm, "%s: kubeadm is %s, was %s", n.Name, is.Kubeadm, was.Kubeadm)
		b.check(fmt.Sprint(is.Held) == fmt.Sprint(was.Held), "%s: held are %v, were %v", n.Name, is.Held, was.Held)
		b.check(states[n.Name] == "Ready", "node %s is %s", n.Name, states[n.Name])
		for _, name := range staticPods {
			want := was.Static[name]
			if name == "etcd" {
				want = b.hopped[n.Name].Static[name]
			}
			b.check(is.Static[name] == want, "%s: %s is %s, want %s", n.Name, name, is.Static[name], want)
		}
	}
	b.printTable("Nodes after the rollback, asked themselves", b.factRows(after))
	b.printTable("Nodes after the hop", b.factRows(b.hopped))
	b.printTable("Nodes before", b.factRows(b.before))
	files, err := b.nodeFiles(ctx)
	if err != nil {
		return err
	}
	for _, change := range changedFiles(b.files, files) {
		b.check(false, "%s", change)
	}
	configs, err := b.kubeadmObjects(ctx)
	if err != nil {
		return err
	}
	for _, what := range sortedNames(b.configs) {
		b.check(configs[what] == b.configs[what], "%s is not what it was before the hop", what)
	}
	b.sum("components at their version of before", "all but etcd, on %d nodes; %d objects of kubeadm as before; files compared on %d nodes", len(after), len(configs), len(files))
	return nil
}

// judgeHopped wants the hop to be complete: what did not go up proves nothing by being
// found below.
func (b *hopBack) judgeHopped(ctx context.Context) error {
	var err error
	if b.hopped, err = b.askHosts(ctx); err != nil {
		return err
	}
	states, err := b.nodesNow(ctx)
	if err != nil {
		return err
	}
	return b.judgeFacts(b.to, b.before, b.hopped, states)
}

// nodeFiles are the digests of all that a hop changes on nodes.
func (b *hopBack) nodeFiles(ctx context.Context) (map[string]map[string]string, error) {
	var names []string
	for _, n := range b.lab.Nodes() {
		names = append(names, n.Name)
	}
	return b.fileDigests(ctx, names...)
}

// ofEtcd tells whether a file stays with etcd, which does not go back.
func ofEtcd(file string) bool {
	return file == "/etc/kubernetes/manifests/etcd.yaml" || strings.HasPrefix(file, "/etc/kubernetes/pki/etcd/")
}

// changedFiles are what is not as it was on nodes, but for etcd.
func changedFiles(was, is map[string]map[string]string) []string {
	var out []string
	for _, name := range sortedNames(was) {
		for _, file := range sortedNames(was[name]) {
			if !ofEtcd(file) && is[name][file] != was[name][file] {
				out = append(out, fmt.Sprintf("%s: %s is not what it was before the hop", name, file))
			}
		}
		for _, file := range sortedNames(is[name]) {
			if _, there := was[name][file]; !there && !ofEtcd(file) {
				out = append(out, fmt.Sprintf("%s: %s was not there before the hop", name, file))
			}
		}
		if len(was[name]) == 0 {
			out = append(out, name+": no file was there before the hop")
		}
	}
	return out
}

// judgeWritten wants every object of after the hop still there and equal.
func (b *hopBack) judgeWritten(ctx context.Context) error {
	c, rules, err := b.comparedWith(ctx, b.written)
	if err != nil {
		return err
	}
	b.reportComparison(c, rules)
	list, err := b.client.CoreV1().ConfigMaps(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: "e2e=" + writtenMeanwhile})
	if err != nil {
		return err
	}
	b.check(len(list.Items) == 20, "%d of 20 objects written meanwhile are there", len(list.Items))
	b.sum("objects", "%d compared, %d different; %d written meanwhile are there", c.Compared, c.Objects(), len(list.Items))
	return nil
}

// judgePlanAgain wants the way up to be open again.
func (b *hopBack) judgePlanAgain(ctx context.Context) error {
	o, err := b.kup.run(ctx, prefixed(b.out, "kup plan, again | "), "plan", "-f", b.lab.Inventory(), "--to", "v"+b.to)
	if err != nil {
		return err
	}
	b.check(o.code == exitDone, "kup plan after the rollback: exit code %d: %s", o.code, o.errorLine())
	// One with nothing to do ends well, too.
	first := "kubeadm upgrade apply v" + b.to + "."
	b.check(strings.Contains(o.output(), first), "kup plan after the rollback does not say %q", first)
	return nil
}
