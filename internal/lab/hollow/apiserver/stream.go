package apiserver

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// betweenBookmarks is how often a watch that wants to know is told how far it
	// came.
	betweenBookmarks = 30 * time.Second
	// maxWatch is how long a watch lasts that says nothing of it.
	maxWatch = 40 * time.Minute
)

// stream is the answer to a watch.
type stream struct {
	call    *call
	watcher *watcher
	flush   func()
}

// watch streams changes until the client, the server or the time ends it.
func (c *call) watch() error {
	want, err := c.selector()
	if err != nil {
		return err
	}
	seconds, _ := strconv.Atoi(c.query("timeoutSeconds")) //nolint:errcheck // what is no number is no time
	last := maxWatch
	if seconds > 0 {
		last = time.Duration(seconds) * time.Second
	}
	first, w, err := c.follow(want)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", mediaJSON)
	c.w.Header().Set("Cache-Control", "no-cache, private")
	c.w.WriteHeader(http.StatusOK)
	s := &stream{call: c, watcher: w, flush: func() {}}
	if f, ok := c.w.(http.Flusher); ok {
		s.flush = f.Flush
	}
	if err := s.send(first); err != nil {
		return nil //nolint:nilerr // the client has gone
	}
	if isTrue(c.query("sendInitialEvents")) {
		if err := s.bookmark(map[string]string{metav1.InitialEventsAnnotationKey: "true"}); err != nil {
			return nil //nolint:nilerr // the client has gone
		}
	}
	s.run(last)
	return nil
}

// follow begins where the client says: at the present objects, or after a revision.
func (c *call) follow(want selector) ([]notice, *watcher, error) {
	revision, err := revisionOf(c.query("resourceVersion"))
	if err != nil {
		return nil, nil, err
	}
	initial := c.query("sendInitialEvents")
	if initial != "" && c.query("resourceVersionMatch") != string(metav1.ResourceVersionMatchNotOlderThan) {
		return nil, nil, apierrors.NewBadRequest("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
	}
	if isTrue(initial) || revision == 0 && initial == "" {
		return c.store.current(c.resource.GroupVersionResource, want)
	}
	if revision == 0 {
		revision = c.store.Revision()
	}
	w, err := c.store.from(c.resource.GroupVersionResource, want, revision)
	return nil, w, err
}

// run streams until something ends it.
func (s *stream) run(last time.Duration) {
	end := time.NewTimer(last)
	defer end.Stop()
	marks := time.NewTicker(betweenBookmarks)
	defer marks.Stop()
	for {
		news, more, err := s.watcher.next()
		if err != nil {
			_ = s.event(watch.Error, statusOf(err)) // the client has gone, or hears it
			return
		}
		if len(news) > 0 {
			if s.send(news) != nil {
				return
			}
			continue
		}
		select {
		case <-more:
		case <-marks.C:
			if isTrue(s.call.query("allowWatchBookmarks")) && s.bookmark(nil) != nil {
				return
			}
		case <-end.C:
			return
		case <-s.call.r.Context().Done():
			return
		case <-s.call.run.ending:
			return
		}
	}
}

func (s *stream) send(news []notice) error {
	for _, n := range news {
		if _, err := fmt.Fprintf(s.call.w, "{\"type\":%q,\"object\":%s}\n", n.kind, n.raw); err != nil {
			return err
		}
	}
	s.flush()
	return nil
}

// bookmark tells how far the client came.
func (s *stream) bookmark(annotations map[string]string) error {
	r := s.call.resource
	mark := metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: r.kind, APIVersion: r.GroupVersion().String()}}
	mark.ResourceVersion, mark.Annotations = fmt.Sprint(s.watcher.after), annotations
	return s.event(watch.Bookmark, mark)
}

func (s *stream) event(kind watch.EventType, object any) error {
	raw, err := json.Marshal(object)
	if err != nil {
		return err
	}
	return s.send([]notice{{kind, raw}})
}
