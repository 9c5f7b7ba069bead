package preflight

import (
	"fmt"
	"slices"
)

func nodeRules() []Rule {
	const docs = "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/"
	return []Rule{
		{"KUP-020", "every node of the cluster is in the inventory", Block, "a node left out would fall behind the skew policy: " + skewPolicy, checkInInventory},
		{"KUP-021", "every node of the inventory is in the cluster", Block, "what is planned must exist", checkInAPI},
		{"KUP-022", "every node was reached over SSH", Block, "what was not seen is not planned for", checkReached},
		{"KUP-023", "every node is Ready", Block, docs, checkReady},
		{"KUP-024", "no node is cordoned", Block, "https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/", checkCordoned},
		{"KUP-025", "every component of the control plane is Ready", Block, docs, checkStaticPods},
	}
}

func checkInInventory(in Input) []Finding {
	var out []Finding
	if in.Nodes == nil {
		return nil
	}
	for _, n := range in.nodes() {
		if !slices.Contains(in.Nodes, n.Name) {
			out = append(out, Finding{Object: "node " + n.Name, Why: "it is in the cluster and not in the inventory", Fix: fmt.Sprintf("add %s to nodes in kup.yaml, or remove it from the cluster (kubectl delete node %s)", n.Name, n.Name)})
		}
	}
	return out
}

func checkInAPI(in Input) []Finding {
	var out []Finding
	for _, name := range in.Nodes {
		if n := in.Facts.Node(name); n == nil || !n.InAPI {
			out = append(out, Finding{Object: "node " + name, Why: "it is in the inventory and not in the cluster", Fix: fmt.Sprintf("remove %s from kup.yaml, correct its name, or join it", name)})
		}
	}
	return out
}

func checkReached(in Input) []Finding {
	var out []Finding
	for _, n := range in.nodes() {
		if n.Host == nil && slices.Contains(in.Nodes, n.Name) {
			out = append(out, Finding{Object: "node " + n.Name, Why: "it could not be surveyed over SSH", Fix: "check address, user and key in kup.yaml; `kup plan` says why the connection failed"})
		}
	}
	return out
}

func checkReady(in Input) []Finding {
	var out []Finding
	for _, n := range in.nodes() {
		if !n.Ready {
			out = append(out, Finding{Object: "node " + n.Name, Why: "it is not Ready", Fix: fmt.Sprintf("kubectl describe node %s", n.Name)})
		}
	}
	return out
}

func checkCordoned(in Input) []Finding {
	var out []Finding
	for _, n := range in.nodes() {
		if n.Cordoned {
			out = append(out, Finding{Object: "node " + n.Name, Why: "it is cordoned: whoever did that may not want it upgraded", Fix: fmt.Sprintf("kubectl uncordon %s", n.Name)})
		}
	}
	return out
}

func checkStaticPods(in Input) []Finding {
	var out []Finding
	for _, n := range in.nodes() {
		for _, pod := range n.StaticPods {
			if !pod.Ready {
				out = append(out, Finding{Object: pod.Component + " on " + n.Name, Why: "it is not Ready", Fix: fmt.Sprintf("kubectl -n kube-system describe pod %s-%s", pod.Component, n.Name)})
			}
		}
	}
	return out
}
