package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// badManifestDir is given to kup plan --manifests.
const badManifestDir = "manifests"

// deployment is one whose pods take no time to stop. Pod is indented YAML at the
// beginning of the pod's spec.
func deployment(name string, replicas int, pod string) string {
	return fmt.Sprintf(`---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: default}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      %[3]sterminationGracePeriodSeconds: 0
      containers: [{name: c, image: registry.k8s.io/pause:3.10}]
`, name, replicas, pod)
}

// budget is one for the pods of a deployment.
func budget(name, deployment, limit string) string {
	return fmt.Sprintf(`---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: %s, namespace: default}
spec:
  %s
  selector: {matchLabels: {app: %s}}
`, name, limit, deployment)
}

// helmRelease is the Secret that Helm 3 keeps of a release, whose only object is
// of a version that 1.34 does not serve.
func helmRelease(name string) string {
	release, err := json.Marshal(map[string]any{
		"name": name, "namespace": "default", "version": 1, "info": map[string]any{"status": "deployed"},
		"manifest": "---\napiVersion: admissionregistration.k8s.io/v1beta1\nkind: ValidatingAdmissionPolicy\nmetadata:\n  name: " + name + "\n",
	})
	if err != nil {
		panic(err) // of two maps of strings
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write(release) // a buffer takes everything
	_ = w.Close()
	inner := base64.StdEncoding.EncodeToString(zipped.Bytes())
	return fmt.Sprintf(`apiVersion: v1
kind: Secret
type: helm.sh/release.v1
metadata:
  name: sh.helm.release.v1.%[1]s.v1
  namespace: default
  labels: {owner: helm, name: %[1]s, version: "1", status: deployed}
stringData: {release: %[2]s}
`, name, inner)
}

const customResource = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: defects.example.com}
spec:
  group: example.com
  scope: Cluster
  names: {plural: defects, singular: defect, kind: Defect}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`
