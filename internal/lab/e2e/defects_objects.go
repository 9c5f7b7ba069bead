package e2e

import (
	"context"
	"os"
	"path/filepath"
)

func apiDefects() []defect {
	return []defect{
		{
			rule: "KUP-110", name: "an object last applied in a version that 1.34 removes", object: "defect-applied", hop: "1.34",
			// kubectl create would write the annotation anew.
			plant: func(ctx context.Context, p *preflightRun) (func(context.Context) error, error) {
				mend, err := created(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: defect-applied}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [defects]}]}
  validations: [{expression: "true"}]
`)(ctx, p)
				if err != nil {
					return mend, err
				}
				_, err = p.kubectl(ctx, "", "annotate", "validatingadmissionpolicy", "defect-applied",
					`kubectl.kubernetes.io/last-applied-configuration={"apiVersion":"admissionregistration.k8s.io/v1beta1","kind":"ValidatingAdmissionPolicy","metadata":{"name":"defect-applied"}}`)
				return mend, err
			},
		},
		{
			rule: "KUP-112", name: "a Helm release that holds such a version", object: "defect", hop: "1.34", fix: "mapkubeapis",
			plant: created(helmRelease("defect")),
		},
		{
			rule: "KUP-113", name: "a manifest written in such a version", object: "migrate", hop: "1.35",
			plant: func(_ context.Context, p *preflightRun) (func(context.Context) error, error) {
				dir := filepath.Join(p.dir, badManifestDir)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					return nil, err
				}
				return func(context.Context) error { return os.RemoveAll(dir) },
					os.WriteFile(filepath.Join(dir, "migrate.yaml"), []byte("apiVersion: storagemigration.k8s.io/v1alpha1\nkind: StorageVersionMigration\nmetadata: {name: migrate}\n"), 0o600)
			},
		},
		{
			rule: "KUP-115", name: "a custom resource stored in a version that is no longer defined", object: "defects.example.com",
			plant: func(ctx context.Context, p *preflightRun) (func(context.Context) error, error) {
				mend, err := applied(customResource)(ctx, p)
				if err != nil {
					return mend, err
				}
				_, err = p.kubectl(ctx, "", "patch", "crd", "defects.example.com", "--subresource=status", "--type=merge", "-p", `{"status":{"storedVersions":["v1alpha1","v1"]}}`)
				return mend, err
			},
		},
	}
}

func storedDefects() []defect {
	return []defect{
		{
			rule: "KUP-120", name: "an object stored as 1.35 cannot read it", object: "StorageVersionMigration", hop: "1.35",
			plant: stored("/registry/storagemigration.k8s.io/storageversionmigrations/defect",
				`{"apiVersion":"storagemigration.k8s.io/v1alpha1","kind":"StorageVersionMigration","metadata":{"name":"defect","uid":"1"}}`),
			also: []string{"KUP-121"},
		},
		{
			rule: "KUP-124", name: "an object left over from an API that is gone", object: "Relic",
			plant: stored("/registry/gone.example.com/relics/defect", `{"apiVersion":"gone.example.com/v1","kind":"Relic","metadata":{"name":"defect"}}`),
			also:  []string{"KUP-122"},
		},
	}
}

func workloadDefects() []defect {
	return []defect{
		{
			rule: "KUP-130", name: "a budget that never lets a pod go", object: "defect-budget",
			plant: applied(deployment("defect-budget", 2, "") + budget("defect-budget", "defect-budget", "maxUnavailable: 0")),
			also:  []string{"KUP-050"},
		},
		{
			rule: "KUP-132", name: "a pod with two budgets", object: "defect-twice",
			plant: applied(deployment("defect-twice", 2, "") + budget("defect-twice-a", "defect-twice", "maxUnavailable: 1") + budget("defect-twice-b", "defect-twice", "maxUnavailable: 1")),
			also:  []string{"KUP-050"},
		},
		{
			rule: "KUP-133", name: "a pod that nobody brings back", object: "defect-bare",
			plant: applied(`apiVersion: v1
kind: Pod
metadata: {name: defect-bare, namespace: default}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: registry.k8s.io/pause:3.10}]
`),
		},
		{
			rule: "KUP-138", name: "a pod that fits on its node only", object: "defect-fits",
			plant: applied(deployment("defect-fits", 1, "nodeSelector: {kubernetes.io/hostname: w-2}\n      ")),
			also:  []string{"KUP-137"},
		},
		{
			rule: "KUP-137", name: "a workload of one pod", object: "defect-single",
			plant: applied(deployment("defect-single", 1, "")),
		},
		{
			rule: "KUP-141", name: "a running pod that no longer matches its node", object: "defect-drift",
			plant: func(ctx context.Context, p *preflightRun) (func(context.Context) error, error) {
				if _, err := p.kubectl(ctx, "", "label", "node", "w-2", "defect=drift"); err != nil {
					return nil, err
				}
				mend, err := applied(deployment("defect-drift", 1, "nodeSelector: {defect: drift}\n      "))(ctx, p)
				if err != nil {
					return mend, err
				}
				if _, err := p.kubectl(ctx, "", "-n", "default", "rollout", "status", "deployment/defect-drift", "--timeout=90s"); err != nil {
					return mend, err
				}
				_, err = p.kubectl(ctx, "", "label", "node", "w-2", "defect-")
				return mend, err
			}, also: []string{"KUP-135", "KUP-137", "KUP-138"},
		},
		{
			rule: "KUP-143", name: "pods that leave a node at once when it is not Ready", object: "defect-taint",
			plant: applied(deployment("defect-taint", 2, `tolerations:
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 0}
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 0}
      `)),
		},
	}
}

func admissionDefects() []defect {
	return []defect{
		{
			rule: "KUP-051", name: "a fail-closed webhook that nobody answers", object: "ValidatingWebhookConfiguration defect",
			plant: applied(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: defect}
webhooks:
- name: defect.example.com
  failurePolicy: Fail
  sideEffects: None
  admissionReviewVersions: [v1]
  clientConfig: {service: {namespace: default, name: defect-nobody}}
  rules: [{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [defects]}]
`),
		},
		{
			rule: "KUP-052", name: "an aggregated API that is not available", object: "v1.defect.example.com",
			plant: applied(`apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.defect.example.com}
spec: {group: defect.example.com, version: v1, groupPriorityMinimum: 100, versionPriority: 10, insecureSkipTLSVerify: true, service: {namespace: default, name: defect-nobody}}
`),
		},
	}
}

func addonDefects() []defect {
	return []defect{
		{
			rule: "KUP-160", name: "a CNI that no hop's minor is supported by", object: "calico", hop: "1.34",
			plant: applied(`apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec:
  selector: {matchLabels: {app: calico-node}}
  template:
    metadata: {labels: {app: calico-node}}
    spec:
      nodeSelector: {defect: nowhere}
      containers: [{name: calico-node, image: "docker.io/calico/node:v3.20.0"}]
`),
		},
		{
			rule: "KUP-164", name: "kube-proxy in a mode without a future", object: "kube-proxy", fix: "mode",
			plant: configMapEdit("kube-proxy", "config.conf", `s/^mode: .*/mode: ipvs/`, `s/^mode: .*/mode: ""/`),
		},
		{
			rule: "KUP-162", name: "a Corefile that kubeadm cannot migrate", object: "coredns",
			plant: configMapEdit("coredns", "Corefile", `s/^    errors$/    errors\n    defect/`, `/^    defect$/d`),
		},
	}
}

// configMapEdit edits a value in kube-system with sed.
func configMapEdit(name, key, bad, good string) plant {
	edit := func(script string) string {
		return `export KUBECONFIG=` + adminKubeconfig + `; f=$(mktemp)
kubectl -n kube-system get configmap ` + name + ` -o go-template='{{index .data "` + key + `"}}' | sed '` + script + `' >"$f"
kubectl -n kube-system create configmap ` + name + ` --from-file=` + key + `="$f" --dry-run=client -o json | kubectl -n kube-system patch configmap ` + name + ` --type=merge --patch-file=/dev/stdin
rm "$f"`
	}
	return shellFirst(edit(bad), edit(good))
}
