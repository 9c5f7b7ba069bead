package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPruneKubeadmKeepsWhatMayBeNeeded(t *testing.T) {
	const ended, undone, now = "20260101-010101-00000a", "20260103-010101-00000b", "20260105-010101-00000c"
	day := func(n int) time.Time { return time.Date(2026, 1, n, 2, 0, 0, 0, time.UTC) }
	names := []string{"2025-12-01-00-00-00", "2026-01-01-02-00-00", "2026-01-02-02-00-00", "2026-01-04-02-00-00", "2026-01-06-02-00-00"}
	ages := []time.Time{day(1).AddDate(0, -1, 0), day(1), day(2), day(4), day(6)}
	for name, tt := range map[string]struct {
		runs []string
		keep int
		over []string
		want []string
	}{
		"none but this run's":         {[]string{ended, now}, 0, []string{ended}, names[4:]},
		"the newest stay":             {[]string{ended, now}, 3, []string{ended}, names[2:]},
		"more than there are":         {[]string{ended, now}, 9, []string{ended}, names},
		"a run that is not over":      {[]string{ended, undone, now}, 0, []string{ended}, names[3:]},
		"the run did nothing here":    {[]string{ended}, 0, []string{ended}, names},
		"nothing is known to be over": {[]string{ended, now}, 0, nil, names[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			dirs, hosts := newHosts(t, 1)
			root := dirs[0].root
			touch := func(at time.Time, parts ...string) {
				file := filepath.Join(append([]string{root}, parts...)...)
				mkdir(t, filepath.Dir(file))
				if err := os.MkdirAll(file, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(file, at, at); err != nil {
					t.Fatal(err)
				}
			}
			for _, run := range tt.runs {
				at, err := time.Parse("20060102-150405", run[:15])
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(mkdir(t, root, "var/lib/kup", run, "backup"), "1.34.tar")
				write(t, file, "")
				if err := os.Chtimes(file, at, at); err != nil {
					t.Fatal(err)
				}
			}
			for i, n := range names {
				touch(ages[i], "var/lib/kup/kubeadm", "kubeadm-backup-etcd-"+n)
				touch(ages[i], "var/lib/kup/kubeadm", "kubeadm-backup-manifests-"+n)
			}
			touch(ages[0], "var/lib/kup/kubeadm", "kubeadm-backup-etcd-of-the-admin")
			touch(ages[0], "var/lib/kup/kubeadm", "kubeadm-upgraded-manifests1")
			if err := pruneKubeadm(t.Context(), "/var/lib/kup/kubeadm", now, tt.over, tt.keep, hosts); err != nil {
				t.Fatal(err)
			}
			for _, kind := range []string{"etcd", "manifests"} {
				left, err := filepath.Glob(root + "/var/lib/kup/kubeadm/kubeadm-backup-" + kind + "-2*")
				if err != nil {
					t.Fatal(err)
				}
				for i := range left {
					left[i] = strings.TrimPrefix(filepath.Base(left[i]), "kubeadm-backup-"+kind+"-")
				}
				if !slices.Equal(left, tt.want) {
					t.Errorf("%s: left %v, want %v", kind, left, tt.want)
				}
			}
			for _, other := range []string{"kubeadm-backup-etcd-of-the-admin", "kubeadm-upgraded-manifests1"} {
				if _, err := os.Stat(root + "/var/lib/kup/kubeadm/" + other); err != nil {
					t.Error(err)
				}
			}
		})
	}
	dirs, hosts := newHosts(t, 1)
	if err := pruneKubeadm(t.Context(), "/var/lib/kup/kubeadm", now, nil, 0, hosts); err != nil {
		t.Errorf("%s has nothing of kubeadm: %v", dirs[0], err)
	}
}
