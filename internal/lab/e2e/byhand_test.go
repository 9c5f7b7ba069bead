package e2e

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestGuideHasWhatIsRun(t *testing.T) {
	guide, err := openGuide(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"check", "decrypt", "etcd", "healthy", "pods", "restore", "settings", "start", "stop"}
	if got := slices.Sorted(maps.Keys(guide.blocks)); !slices.Equal(got, want) {
		t.Errorf("blocks %v, want %v", got, want)
	}
	for name, block := range guide.blocks {
		c := exec.Command("sh", "-n")
		c.Stdin = strings.NewReader(block)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if strings.Contains(block, "\nexit") || strings.Contains(block, "set -e") {
			t.Errorf("%s would end the shell it is typed into", name)
		}
	}
}

func TestServedAgain(t *testing.T) {
	object := func(uid, text string) map[string]any {
		return map[string]any{"metadata": map[string]any{"uid": uid}, "data": map[string]any{"k": text}}
	}
	at := func(name string) Key { return Key{Resource: "configmaps", Namespace: "n", Name: name} }
	before := map[Key]map[string]any{
		at("same"): object("1", "a"), at("other"): object("2", "a"), at("gone"): object("3", "a"), at("anew"): object("4", "a"),
		at("kube-root-ca.crt"): object("5", "a"), {Resource: "pods", Namespace: "n", Name: "p"}: object("6", "a"),
		{Resource: "jobs.batch", Namespace: "shop", Name: "tidy-1"}: object("7", "a"),
	}
	after := map[Key]map[string]any{
		at("same"): object("1", "a"), at("other"): object("2", "b"), at("anew"): object("9", "a"), at("kube-root-ca.crt"): object("5", "b"),
	}
	lost, changed, same := servedAgain(before, after)
	if !slices.Equal(lost, []string{"configmaps n/anew is gone", "configmaps n/gone is gone"}) ||
		!slices.Equal(changed, []string{"configmaps n/other: data is another"}) || same != 2 {
		t.Errorf("lost %v, changed %v, same %d", lost, changed, same)
	}
}
