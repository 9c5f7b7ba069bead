package machine

import (
	"context"
	"fmt"
	"slices"

	"github.com/kup-project/kup/internal/lab/hollow/pki"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// renewCertificates renews what there is of the names. A member reads its files anew
// at each handshake.
func (m *Machine) renewCertificates(ctx context.Context, f *vfs.FS, names ...string) error {
	if m.cfg.Authority == nil {
		return nil
	}
	if err := m.wait(ctx, certTime); err != nil {
		return err
	}
	renewed, err := m.cfg.Authority.Renew(f, names...)
	if err != nil {
		return err
	}
	etcds := func(name string) bool { return slices.Contains(pki.EtcdNames(), name) }
	if m.cfg.Etcd == nil || !slices.ContainsFunc(renewed, etcds) {
		return nil
	}
	return m.cfg.Etcd.Certify()
}

// renew is kubeadm certs renew.
func (r *kubeadmRun) renew(ctx context.Context) error {
	names := []string{r.words[0]}
	if r.words[0] == "all" {
		names = pki.AllNames()
	} else if !slices.Contains(pki.AllNames(), r.words[0]) {
		return &kubeadmError{kubeadmInvalid, fmt.Errorf("invalid subcommand %q", r.words[0])}
	}
	r.m.mutated(r.p.Args)
	if err := r.m.renewCertificates(ctx, r.p.FS, names...); err != nil {
		return fmt.Errorf("failed to renew certificate %s: %w", r.words[0], err)
	}
	r.say("[renew] Reading configuration from the cluster...\n\ncertificate %s renewed", r.words[0])
	return nil
}
