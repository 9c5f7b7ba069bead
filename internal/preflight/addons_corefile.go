package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

const corefileObject = "ConfigMap kube-system/coredns"

// checkCorefile foretells what kubeadm says before it moves CoreDNS: only the
// first hop that it would refuse is named.
func checkCorefile(in Input) []Finding {
	if in.Scan.Objects == nil || in.Scan.Objects.Corefile == nil {
		return nil
	}
	file := in.Scan.Objects.Corefile
	tag, found := imageTag(file.Image)
	if !found {
		return nil // a digest alone tells no version
	}
	installed, err := cluster.ParseVersion(tag)
	released := err == nil
	var migrated []string // what a hop before knew: it has dealt with it
	for _, h := range in.hops() {
		minor, known := in.Catalog.Minor(h.to.Line())
		target, ok := cluster.Version{}, false
		if known {
			target, ok = minor.CoreDNSVersion()
		}
		if !ok {
			return nil // KUP-002
		}
		moves := !released || installed != target
		if moves {
			if f, refused := in.startsCoreDNS(h, file.Image, tag, installed, target, released); refused {
				return []Finding{f}
			}
		}
		if in.Catalog.LooksAtCorefile(h.to.Line(), moves) {
			unknown := in.Catalog.UnknownInCorefile(h.to.Line(), file.Plugins)
			for _, p := range used(file.Plugins) {
				if !slices.Contains(unknown, p) {
					migrated = append(migrated, p)
				}
			}
			unknown = slices.DeleteFunc(unknown, func(p string) bool { return slices.Contains(migrated, p) })
			if len(unknown) > 0 {
				return []Finding{{
					Hop: h.name, Object: corefileObject,
					Why: fmt.Sprintf("kubeadm's check CoreDNSUnsupportedPlugins fails: it does not know how to migrate %s", few(unknown)),
					Fix: fmt.Sprintf("see that CoreDNS %s still takes them as they are written, then set kubeadm.ignorePreflightErrors: [CoreDNSUnsupportedPlugins] in kup.yaml and give --accept KUP-162=REASON: kubeadm leaves them untouched", target.Bare()),
				}}
			}
		}
		installed, released = target, true
	}
	return nil
}

// startsCoreDNS tells whether kubeadm refuses to take the installed version as one
// to start from.
func (in Input) startsCoreDNS(h hop, image, tag string, installed, target cluster.Version, released bool) (Finding, bool) {
	f := Finding{
		Hop: h.name, Object: "Deployment kube-system/coredns",
		Fix: fmt.Sprintf("before the hop set its image to CoreDNS %s, or to an older release that kubeadm brought: kubectl -n kube-system set image deployment/coredns coredns=IMAGE; kubeadm moves it on from there", target.Bare()),
	}
	switch {
	case !released || installed.Less(target) && !in.Catalog.MigratesCoreDNS(installed):
		f.Why = fmt.Sprintf("it runs %s, and kubeadm cannot start from a version that it does not know (%s): its check CoreDNSMigration fails, and so does its CoreDNS phase", image, tag)
	case target.Less(installed):
		f.Why = fmt.Sprintf("it runs CoreDNS %s, newer than the %s that kubeadm brings: its check CoreDNSMigration fails, and so does its CoreDNS phase", installed.Bare(), target.Bare())
		if minor, known := in.Catalog.Minor(h.to.Line()); !known || minor.Seen() != h.to {
			f.Severity = Warn // another patch may bring a newer one
		}
	default:
		return Finding{}, false
	}
	return f, true
}

// imageTag is what kubeadm takes for the version: what stands after the colon.
func imageTag(image string) (string, bool) {
	colon := strings.LastIndexByte(image, ':')
	if strings.Contains(image, "@") || colon < strings.LastIndexByte(image, '/') || colon < 0 {
		return "", false
	}
	return strings.TrimPrefix(image[colon+1:], "v"), true
}

// used are the plugins, and their options as plugin/option.
func used(plugins []cluster.Plugin) []string {
	var out []string
	for _, p := range plugins {
		out = append(out, p.Name)
		for _, option := range p.Options {
			out = append(out, p.Name+"/"+option)
		}
	}
	return out
}
