package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kup-project/kup/internal/lab/hollow"
	"github.com/kup-project/kup/pkg/cluster"
)

// saboteur breaks things while kup works: first the SSH connections of a control
// plane in the middle of kubeadm, which kup must survive; then a worker's package
// repository while a hop is prepared, at which kup must stop.
type saboteur struct {
	cluster *hollow.Cluster
	hop     cluster.Minor // in which the repository goes

	mu    sync.Mutex
	cut   bool
	gone  bool
	deeds []string
	errs  []error
}

const (
	cutHost  = "cp-2"
	goneHost = "w-3"
)

// strike is told every command before it takes effect.
func (s *saboteur) strike(m hollow.Mutation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := strings.Join(m.Argv, " ")
	switch {
	case !s.cut && m.Host == cutHost && strings.HasPrefix(line, "kubeadm upgrade node"):
		s.cut = true
		s.inflict(hollow.Fault{Name: "cut", Host: cutHost}, fmt.Sprintf("every SSH connection to %s was cut while this ran there: %s", cutHost, line))
	case !s.gone && m.Host == goneHost && strings.HasPrefix(m.Step, s.hop.String()+"/prepare/"):
		s.gone = true
		s.inflict(hollow.Fault{Name: "repository-gone", Host: goneHost}, fmt.Sprintf("the package repository of %s became unreachable", goneHost))
	}
}

func (s *saboteur) inflict(f hollow.Fault, deed string) {
	if err := s.cluster.Inject(f); err != nil {
		s.errs = append(s.errs, err)
		return
	}
	s.deeds = append(s.deeds, deed)
}

// told is what was done so far. Not to have had the occasion is an error: the demo
// would show nothing.
func (s *saboteur) told() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.cut || !s.gone {
		s.errs = append(s.errs, errors.New("kup gave no occasion for some fault"))
	}
	return slices.Clone(s.deeds), errors.Join(s.errs...)
}

func (s *saboteur) repair() error {
	return s.cluster.Inject(hollow.Fault{Name: "repository-back", Host: goneHost})
}
