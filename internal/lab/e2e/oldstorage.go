package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind and versions whose objects 1.34 can store and 1.35 cannot read.
// Source: kubernetes pkg/apis/storagemigration/install of v1.34.4 and v1.35.4.
const (
	migrationGroup     = "storagemigration.k8s.io"
	migrationKind      = "StorageVersionMigration"
	migrationResource  = "storageversionmigrations"
	unreadableVersion  = "v1alpha1" // 1.30 to 1.34
	servedVersion      = "v1beta1"  // from 1.35 on
	readableVersion    = "batch/v1beta1"
	readableName       = "old-storage-readable"
	readableKey        = "/registry/cronjobs/default/" + readableName
	ruleUnreadable     = "KUP-120"
	acceptUnreadable   = ruleUnreadable + "=the scenario shows what comes of it"
	migrationKeyPrefix = "/registry/" + migrationResource + "/"
)

func unreadableNames() []string { return []string{"old-storage-one", "old-storage-two"} }

// readable is a CronJob as API servers stored it until 1.21 (kubernetes
// pkg/kubeapiserver/default_storage_factory_builder.go). All later ones read it, and
// none writes it any more. It is suspended, so that its controller leaves it as it
// is.
const readable = `{"kind":"CronJob","apiVersion":"` + readableVersion + `","metadata":{"name":"` + readableName + `","namespace":"default",` +
	`"uid":"6f1c4d0e-3c1b-4f57-9a55-1d2f0a6f5c11","creationTimestamp":"2020-12-08T12:00:00Z"},` +
	`"spec":{"schedule":"0 0 1 1 *","suspend":true,"concurrencyPolicy":"Allow","successfulJobsHistoryLimit":3,"failedJobsHistoryLimit":1,` +
	`"jobTemplate":{"metadata":{"creationTimestamp":null},"spec":{"template":{"metadata":{"creationTimestamp":null},` +
	`"spec":{"containers":[{"name":"c","image":"registry.k8s.io/pause:3.10","resources":{},"imagePullPolicy":"IfNotPresent"}],` +
	`"restartPolicy":"OnFailure","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler"}}}}},"status":{}}`

// oldStorage is the scenario's state.
type oldStorage struct {
	*preflightRun
	clean []finding
	// said and answered are the columns of the table, by object.
	said, answered map[string]string
	// others is how many resources the new API server lists besides.
	others int
}

// runOldStorage stores objects that the next minor cannot read through the real API
// of this one, and one that only looks as old; kup must name the former and them
// alone. Then the hop is made all the same, and the new API server asked for
// everything there is.
func runOldStorage(ctx context.Context, e *env) error {
	if e.from != e.scenario.from {
		return fmt.Errorf("the scenario is about the hop from %s, not from %s", e.scenario.from, e.from)
	}
	s := &oldStorage{
		preflightRun: &preflightRun{badInput: &badInput{env: e}},
		said:         map[string]string{}, answered: map[string]string{},
	}
	defer s.table()
	return s.inOrder(ctx, "==", []part{
		{"plan with nothing old", s.planClean},
		{"store", s.store},
		{"plan", s.planOld},
		{"apply", s.apply},
		{"ask the new API server", s.ask},
		{"ask it without them", s.askWithout},
	})
}

func (s *oldStorage) planClean(ctx context.Context) error {
	p, err := s.planned(ctx)
	if err != nil {
		return err
	}
	s.clean = p.Findings
	if p.Blocked {
		return fmt.Errorf("the cluster is blocked as it is: %s", told(p.Findings))
	}
	return nil
}

// store has the API server of today write the migrations, and etcd take the
// CronJob. The version is served while they are written only: what kup finds, it
// finds in the store.
func (s *oldStorage) store(ctx context.Context) error {
	if err := s.serve(ctx, unreadableVersion); err != nil {
		return err
	}
	client := s.dynamic.Resource(schema.GroupVersionResource{Group: migrationGroup, Version: unreadableVersion, Resource: migrationResource})
	for _, name := range unreadableNames() {
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": migrationGroup + "/" + unreadableVersion, "kind": migrationKind,
			"metadata": map[string]any{"name": name},
			"spec":     map[string]any{"resource": map[string]any{"version": "v1", "resource": "configmaps"}},
		}}
		if _, err := client.Create(ctx, o, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create %s %s: %w", migrationKind, name, err)
		}
	}
	if err := s.serveNo(ctx, unreadableVersion); err != nil {
		return err
	}
	if _, err := s.etcdctl(ctx, "put", readableKey, readable); err != nil {
		return err
	}
	return s.storedSo(ctx)
}

// storedSo asserts that the objects are stored in the versions they are meant to
// be, and that the API server reads the CronJob.
func (s *oldStorage) storedSo(ctx context.Context) error {
	want := map[string]string{readableKey: readableVersion}
	for _, name := range unreadableNames() {
		want[migrationKeyPrefix+name] = migrationGroup + "/" + unreadableVersion
	}
	for _, key := range sortedNames(want) {
		value, err := s.etcdctl(ctx, "get", key, "--print-value-only")
		if err != nil {
			return err
		}
		s.check(strings.Contains(value, want[key]), "%s is not stored as %s", key, want[key])
	}
	return s.readsCronJob(ctx)
}

func (s *oldStorage) readsCronJob(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := poll(ctx, time.Second, func(ctx context.Context) error {
		list, err := s.client.BatchV1().CronJobs(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: listPage})
		if err != nil {
			return err
		}
		for i := range list.Items {
			if list.Items[i].Name == readableName {
				return nil
			}
		}
		return fmt.Errorf("it is not among %d CronJobs", len(list.Items))
	})
	s.answered[readableName] = "read"
	if !s.check(err == nil, "the API server does not read CronJob %s, stored as %s: %v", readableName, readableVersion, err) {
		s.answered[readableName] = fmt.Sprint(err)
	}
	return nil
}

// restFor is how long plans must find nothing more before the cluster is at rest:
// what a kubelet saw of a restart it tells seconds after the API server is back.
const restFor = 30 * time.Second

// planOld plans until the cluster has come to rest after the API server's
// restarts; the last plan counts.
func (s *oldStorage) planOld(ctx context.Context) error {
	until, right := time.Now().Add(settleTimeout), time.Time{}
	for {
		p, err := s.planned(ctx)
		if err != nil {
			return err
		}
		more := without(p.Findings, s.clean)
		wrong := misjudged(more, s.to)
		switch {
		case len(wrong) > 0:
			right = time.Time{}
		case right.IsZero():
			right = time.Now()
		}
		if rested := !right.IsZero() && time.Since(right) > restFor; !rested && time.Now().Before(until) {
			continue
		}
		for _, text := range wrong {
			s.check(false, "kup plan: %s", text)
		}
		s.check(p.Blocked, "kup plan does not block")
		for _, name := range append(unreadableNames(), readableName) {
			s.said[name] = "nothing"
			if i := slices.IndexFunc(more, func(f finding) bool { return strings.Contains(f.Why, name) }); i >= 0 {
				s.said[name] = fmt.Sprintf("%s (%s), hop %s", more[i].Rule, more[i].Severity, more[i].Hop)
			}
		}
		return nil
	}
}

// misjudged says what is wrong with what kup found beyond the clean cluster: it
// must be one finding on the migrations and nothing else.
func misjudged(found []finding, hop string) []string {
	var wrong []string
	note := func(text string, args ...any) { wrong = append(wrong, fmt.Sprintf(text, args...)) }
	object := migrationGroup + "/" + unreadableVersion + " " + migrationKind
	seen := false
	for _, f := range found {
		if f.Rule != ruleUnreadable || f.Object != object {
			note("%s finds something about %s too: %s", f.Rule, f.Object, f.Why)
			continue
		}
		seen = true
		if f.Severity != "block" || f.Hop != hop || f.Fix == "" {
			note("%s on %s: severity %s, hop %s, fix %q", f.Rule, f.Object, f.Severity, f.Hop, f.Fix)
		}
		if !strings.HasPrefix(f.Why, "2 objects ") {
			note("%s does not count 2 objects: %s", f.Rule, f.Why)
		}
		for _, name := range unreadableNames() {
			if !strings.Contains(f.Why, name) {
				note("%s does not name %s: %s", f.Rule, name, f.Why)
			}
		}
	}
	if !seen {
		note("%s does not find %s", ruleUnreadable, object)
	}
	return wrong
}

// apply is refused first, and then made with the finding accepted.
func (s *oldStorage) apply(ctx context.Context) error {
	args := []string{"apply", "-f", s.lab.Inventory(), "--to", "v" + s.to, "--yes", acceptNotices}
	o, err := s.kup.run(ctx, nil, args...)
	if err != nil {
		return err
	}
	if !s.check(o.code == exitBlocked, "%s: exit code %d, want %d: %s", o, o.code, exitBlocked, o.errorLine()) {
		return errors.New("kup apply was not blocked")
	}
	if o, err = s.kup.run(ctx, prefixed(s.out, "kup apply | "), append(args, "--accept", acceptUnreadable)...); err != nil {
		return err
	}
	if err := o.failure(); err != nil {
		return err
	}
	s.printf("kup apply took %s", seconds(o.took))
	version, err := s.target(s.to)
	if err != nil {
		return err
	}
	now, err := s.client.Discovery().ServerVersion()
	if err != nil {
		return err
	}
	s.check(now.GitVersion == version, "the API server is %s, want %s", now.GitVersion, version)
	return s.env.settled(ctx, settleTimeout)
}

// ask has the new API server list everything, first as the hop left it, then with
// the migrations' API switched on.
func (s *oldStorage) ask(ctx context.Context) error {
	if err := s.storedSo(ctx); err != nil {
		return err
	}
	if err := s.lists(ctx, ""); err != nil {
		return err
	}
	if err := s.serve(ctx, servedVersion); err != nil {
		return err
	}
	failing := migrations().String()
	if err := s.lists(ctx, failing); err != nil {
		return err
	}
	for _, name := range unreadableNames() {
		_, err := s.dynamic.Resource(migrations()).Get(ctx, name, metav1.GetOptions{})
		s.answered[name] = fmt.Sprint(err)
		s.check(cannotDecode(err), "the new API server does not fail on %s %s as it should: %v", migrationKind, name, err)
	}
	// What is not there is not found: the API itself works.
	_, err := s.dynamic.Resource(migrations()).Get(ctx, "old-storage-none", metav1.GetOptions{})
	s.check(apierrors.IsNotFound(err), "a %s that does not exist: %v", migrationKind, err)
	return s.readsCronJob(ctx)
}

// askWithout takes the migrations out of etcd: then nothing fails any more.
func (s *oldStorage) askWithout(ctx context.Context) error {
	for _, name := range unreadableNames() {
		if _, err := s.etcdctl(ctx, "del", migrationKeyPrefix+name); err != nil {
			return err
		}
	}
	return s.lists(ctx, "")
}

// migrations are served so from 1.35 on.
func migrations() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: migrationGroup, Version: servedVersion, Resource: migrationResource}
}

// cannotDecode tells whether the error is that of an API server that does not know
// what an object is stored as.
// Source: k8s.io/apimachinery pkg/runtime/error.go, notRegisteredErr.
func cannotDecode(err error) bool {
	return err != nil && strings.Contains(err.Error(), fmt.Sprintf("no kind %q is registered for version %q", migrationKind, migrationGroup+"/"+unreadableVersion))
}

func (s *oldStorage) table() {
	rows := [][]string{{"object", "stored as", "kup plan", "API server of " + s.to}}
	for _, name := range unreadableNames() {
		rows = append(rows, []string{migrationKind + " " + name, migrationGroup + "/" + unreadableVersion, s.said[name], s.answered[name]})
	}
	rows = append(rows,
		[]string{"CronJob default/" + readableName, readableVersion, s.said[readableName], s.answered[readableName]},
		[]string{fmt.Sprintf("all of %d other resources", s.others), "", "nothing", "listed"})
	s.printTable("Old storage", rows)
}
