package e2e

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// situation is one way in which drains go, or do not.
type situation struct {
	name     string
	manifest string
	// says is what kup plan must say of it, and nothing else about its objects.
	says []saying
}

// saying is a finding with what comes of it in real drains.
type saying struct {
	rule, object string
	// at is what drains stand still at, as a drainVerdict has it; empty: none does.
	at string
	// nodes: the finding names the nodes whose drains stand still, all of them and
	// no other.
	nodes bool
	// waits: pods of the object are without a node at the end of a drain.
	waits bool
}

// simPrefix begins the names of all that situations plant.
const simPrefix = "sim-"

// situations are to be planted one after the other; cpu is two fifths of a
// worker's, in thousandths of a core.
func situations(workers []string, cpu int64) []situation {
	const free, never, apart, room, bare, twice = simPrefix + "free", simPrefix + "never", simPrefix + "apart", simPrefix + "room", simPrefix + "bare", simPrefix + "twice"
	first, last := workers[0], workers[len(workers)-1]
	deploymentOf := func(name string) string { return "Deployment default/" + name }
	budgetOf := func(name string) string { return "PodDisruptionBudget default/" + name }
	stuck := func(name string) string { return behind(deploymentOf(name), budgetOf(name)) }
	return []situation{
		{
			name: "a budget that lets one pod go", manifest: deployment(free, len(workers), "") + budget(free, free, "maxUnavailable: 1"),
		},
		{
			name: "a budget that lets none go", manifest: deployment(never, 2, "") + budget(never, never, "maxUnavailable: 0"),
			says: []saying{{rule: "KUP-130", object: budgetOf(never), at: stuck(never), nodes: true}},
		},
		{
			name:     "one pod a node, as many as nodes",
			manifest: deployment(apart, len(workers), keptApart(apart)) + budget(apart, apart, fmt.Sprintf("minAvailable: %d", len(workers)-1)),
			says:     []saying{{rule: "KUP-138", object: deploymentOf(apart), waits: true}},
		},
		{
			name:     "no room elsewhere, and a budget for one pod a node of two",
			manifest: asking(deployment(room, 2*len(workers), ""), cpu) + budget(room, room, fmt.Sprintf("minAvailable: %d", 2*len(workers)-1)),
			says: []saying{
				{rule: "KUP-131", object: budgetOf(room), at: stuck(room), nodes: true},
				{rule: "KUP-135", object: deploymentOf(room), waits: true},
			},
		},
		{
			name: "a bare pod on the first worker, a pod with two budgets on the last",
			manifest: barePod(bare, first) + deployment(twice, 1, pinned(last)) +
				budget(twice+"-a", twice, "maxUnavailable: 1") + budget(twice+"-b", twice, "maxUnavailable: 1"),
			says: []saying{
				{rule: "KUP-133", object: "pod default/" + bare, at: nobodys("default", bare), nodes: true},
				{rule: "KUP-132", object: deploymentOf(twice), at: behind(deploymentOf(twice), severalBudgets)},
			},
		},
	}
}

// pinned is for the beginning of a deployment's pods.
func pinned(node string) string {
	return "nodeSelector: {kubernetes.io/hostname: " + node + "}\n      "
}

// keptApart lets no two pods of the app share a node.
func keptApart(app string) string {
	return "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: " + app + "}}}]}}\n      "
}

// asking adds a request to the container of a deployment.
func asking(deployment string, milliCPU int64) string {
	const image = "image: registry.k8s.io/pause:3.10"
	return strings.Replace(deployment, image, fmt.Sprintf("%s, resources: {requests: {cpu: %dm}}", image, milliCPU), 1)
}

func barePod(name, node string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: default}
spec:
  %sterminationGracePeriodSeconds: 0
  containers: [{name: c, image: registry.k8s.io/pause:3.10}]
`, name, strings.ReplaceAll(pinned(node), "\n      ", "\n  "))
}

// judge compares what the plan said with what the drains did, and gives a
// sentence for each difference.
func (s situation) judge(findings []finding, happened []drainVerdict) []string {
	var wrong []string
	note := func(text string, args ...any) { wrong = append(wrong, fmt.Sprintf(text, args...)) }
	for _, x := range s.says {
		i := slices.IndexFunc(findings, x.fits)
		if i < 0 {
			note("%s finds nothing about %s", x.rule, x.object)
			continue
		}
		stood := nodesOf(happened, func(v drainVerdict) bool { return x.at != "" && slices.Contains(v.At, x.at) })
		if x.at != "" && len(stood) == 0 {
			note("%s has drains stand still at %s, and none did", x.rule, x.at)
		}
		if named := namedIn(findings[i].Why, happened); x.nodes && !slices.Equal(named, stood) {
			note("%s names the nodes %v, and the drains that stood still at %s are of %v", x.rule, named, x.at, stood)
		}
		if x.waits && len(nodesOf(happened, func(v drainVerdict) bool { return slices.Contains(v.Waits, x.object) })) == 0 {
			note("%s has pods of %s wait for a node, and none did", x.rule, x.object)
		}
	}
	for _, f := range findings {
		foreign := !strings.Contains(f.Object, simPrefix) || f.Severity == "info"
		if !foreign && !slices.ContainsFunc(s.says, func(x saying) bool { return x.fits(f) }) {
			note("%s finds something about %s too: %s", f.Rule, f.Object, f.Why)
		}
	}
	for _, v := range happened {
		for _, at := range v.At {
			if !slices.ContainsFunc(s.says, func(x saying) bool { return x.at == at }) {
				note("the drain of %s stood still at %s, and the plan says nothing of it", v.Node, at)
			}
		}
		for _, waiting := range v.Waits {
			if !slices.ContainsFunc(s.says, func(x saying) bool { return x.waits && x.object == waiting }) {
				note("pods of %s had no node when %s was drained, and the plan says nothing of it", waiting, v.Node)
			}
		}
	}
	return wrong
}

// fits tells whether the finding is this one. Those for information may be about
// several objects, which the sentence names.
func (x saying) fits(f finding) bool {
	return f.Rule == x.rule && (f.Object == x.object || f.Severity == "info" && strings.Contains(f.Why, x.object))
}

func nodesOf(verdicts []drainVerdict, which func(drainVerdict) bool) []string {
	var out []string
	for _, v := range verdicts {
		if which(v) {
			out = append(out, v.Node)
		}
	}
	slices.Sort(out)
	return out
}

// namedIn are the nodes whose names are words of the text.
func namedIn(text string, verdicts []drainVerdict) []string {
	words := strings.FieldsFunc(text, func(r rune) bool { return r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return nodesOf(verdicts, func(v drainVerdict) bool { return slices.Contains(words, v.Node) })
}
