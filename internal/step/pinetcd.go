package step

import (
	"context"
	"fmt"

	"github.com/kup-project/kup/pkg/plan"
)

// EtcdTag is etcd.local.imageTag of kubeadm's configuration; empty: none.
type EtcdTag interface {
	EtcdImageTag(ctx context.Context) (string, error)
	// ReplaceEtcdImageTag fails when the tag is neither the one expected nor the one
	// wanted.
	ReplaceEtcdImageTag(ctx context.Context, expected, tag string) error
}

// pinEtcd: the truth is the API. It sets the tag, or takes it out.
type pinEtcd struct {
	tag      EtcdTag
	takesOut bool
	observer Observer
}

// read gives what the tag is before the step and after it.
func (r *pinEtcd) read(s plan.Step) (before, after string, err error) {
	a := args{step: s}
	tag := a.text("tag")
	if r.takesOut {
		return tag, "", a.err
	}
	return "", tag, a.err
}

func (r *pinEtcd) Done(ctx context.Context, s plan.Step) (bool, error) {
	_, want, err := r.read(s)
	if err != nil {
		return false, err
	}
	is, err := r.tag.EtcdImageTag(ctx)
	return err == nil && is == want, failed(s, "read kubeadm's configuration", err, "")
}

func (r *pinEtcd) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	before, want, err := r.read(s)
	if err != nil {
		return err
	}
	doing := "set etcd.local.imageTag to " + want
	if r.takesOut {
		doing = "take etcd.local.imageTag out"
	}
	if err := r.tag.ReplaceEtcdImageTag(ctx, before, want); err != nil {
		return failed(s, doing, err, fmt.Sprintf("look at it (kubectl -n kube-system edit configmap kubeadm-config), have it as it was (%s), and resume: kup apply --resume", orAbsent(before)))
	}
	r.observer.Note(s.ID, "kubeadm's configuration: etcd.local.imageTag is "+orAbsent(want))
	return nil
}

func orAbsent(tag string) string {
	if tag == "" {
		return "absent"
	}
	return tag
}
