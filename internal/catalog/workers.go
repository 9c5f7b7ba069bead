package catalog

import "github.com/kup-project/kup/pkg/cluster"

// workerData is what a worker that skips hops with its kubelet needs of kubeadm.
type workerData struct {
	nodeKubeadm apartRow
	nodeEdits   []NodeEdit
}

// NodeEdit is what `kubeadm upgrade node` changes on a node in some minors only.
type NodeEdit struct {
	In     cluster.Minor `json:"in"`    // the first minor that does it
	Until  cluster.Minor `json:"until"` // and the last
	Does   string        `json:"does"`  // "removes …"
	Source string        `json:"source"`
}

func (c *Catalog) loadWorkers() error {
	var file struct {
		Kubeadm apartRow   `json:"kubeadm"`
		Edits   []NodeEdit `json:"edits"`
	}
	if err := read("workers", &file); err != nil {
		return err
	}
	c.nodeKubeadm, c.nodeEdits = file.Kubeadm, file.Edits
	return nil
}

// NodeKubeadmApart is by how many minors the kubeadm that manages a node may move
// at once.
func (c *Catalog) NodeKubeadmApart() uint64 { return c.nodeKubeadm.Apart }

// MissedEdits are those that a node never gets when the kubeadm that manages it goes
// from one minor to another at once.
func (c *Catalog) MissedEdits(from, to cluster.Minor) []NodeEdit {
	var out []NodeEdit
	for _, e := range c.nodeEdits {
		if from.Less(e.In) && e.Until.Less(to) {
			out = append(out, e)
		}
	}
	return out
}
