package survey

import (
	"context"
	"fmt"

	"github.com/kup-project/kup/pkg/cluster"
)

// This file observes what preflight judges beyond facts.

// found takes a part, or says why there is none. The error is that of ctx alone.
func (s *survey) found(ctx context.Context, what string, err error, take func()) error {
	if ctx.Err() != nil {
		return fmt.Errorf("survey the cluster: %w", ctx.Err())
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err != nil {
		s.scan.Unchecked = append(s.scan.Unchecked, sentence("%s: %v", what, err))
		return nil
	}
	take()
	return nil
}

// kubeadm reads what every hop starts the control plane's components with; err is why
// the configuration could not be read.
func (s *survey) kubeadm(ctx context.Context, err error) error {
	if err == nil && s.config != "" {
		s.args, err = clusterArgs(s.config)
	}
	return s.found(ctx, "what kubeadm's configuration starts the components with could not be read", err, func() {})
}

func (s *survey) placement(ctx context.Context) error {
	placement, err := s.in.Objects.Placement(ctx)
	return s.found(ctx, "which pods run where could not be read, so that no drain was simulated", err, func() { s.scan.Placement = &placement })
}

func (s *survey) objects(ctx context.Context) error {
	objects, err := s.in.Objects.Objects(ctx)
	return s.found(ctx, "the versions that objects are written in could not be read", err, func() {
		s.scan.Objects = &objects
		s.scan.Unchecked = append(s.scan.Unchecked, objects.Unchecked...)
	})
}

func (s *survey) stored(ctx context.Context, store Etcd) error {
	stored, err := store.Stored(ctx, s.prefix())
	return s.found(ctx, "the stored objects could not be read, so that nobody knows whether every hop can read them", err, func() { s.scan.Stored = &stored })
}

// prefix is the API servers' --etcd-prefix; empty: their default.
func (s *survey) prefix() string {
	if s.args == nil {
		return ""
	}
	server := s.args.Component("kube-apiserver")
	if server == nil {
		return ""
	}
	if flag := server.Flag("etcd-prefix"); flag != nil {
		return flag.Value
	}
	return ""
}

// beyond takes out of a visit what is beyond facts.
func (s *survey) beyond(ctx context.Context, n *cluster.Node, v *visit) error {
	started, err := startup(ctx, v)
	err = s.found(ctx, n.Name+": what its components are started with could not be read", err, func() {
		if n.Role == cluster.ControlPlane {
			started.Cluster = s.args
		}
		s.scan.Startup[n.Name] = started
	})
	if err != nil {
		return err
	}
	state, err := hostState(ctx, v, n)
	return s.found(ctx, n.Name+": the state of its system could not be read", err, func() { s.scan.HostStates[n.Name] = state })
}
