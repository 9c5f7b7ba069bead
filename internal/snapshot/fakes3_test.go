package snapshot

import (
	"bufio"
	"bytes"
	"crypto/md5" //nolint:gosec // as S3 has it
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	fakeKey    = "AKIDEXAMPLE"
	fakeSecret = "hunter2"
)

// bucket is an S3-compatible store with one bucket, as far as kup's client asks: it
// keeps objects in memory, in listings of three a page, and refuses other keys' requests.
// Signatures themselves are the client library's matter and are not checked.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	parts   map[string]map[int][]byte // by upload
	aborted int
	// before is asked about every request; true: it was answered.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func startBucket(t *testing.T) (*bucket, S3Target) {
	t.Helper()
	b := &bucket{objects: map[string][]byte{}, parts: map[string]map[int][]byte{}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "credentials")
	content := "[default]\naws_access_key_id = " + fakeKey + "\naws_secret_access_key = " + fakeSecret + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return b, S3Target{Endpoint: server.URL, Bucket: "backups", Prefix: "prod/etcd", CredentialsFile: file}
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.before != nil && b.before(w, r) {
		return
	}
	if !strings.Contains(r.Header.Get("Authorization"), "Credential="+fakeKey+"/") {
		refuse(w, http.StatusForbidden, "AccessDenied")
		return
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if name != "backups" {
		refuse(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	body, err := payload(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodGet && key == "":
		b.list(w, q)
	case q.Has("uploads"):
		id := fmt.Sprint("upload-", len(b.parts))
		b.parts[id] = map[int][]byte{}
		fmt.Fprintf(w, `<InitiateMultipartUploadResult><Bucket>backups</Bucket><Key>%s</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>`, key, id)
	case q.Has("uploadId"):
		b.multipart(w, r, q, key, body)
	case r.Method == http.MethodPut:
		b.objects[key] = body
		w.Header().Set("ETag", etag(body))
	case r.Method == http.MethodDelete:
		delete(b.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		content, ok := b.objects[key]
		if !ok {
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", etag(content))
		w.Header().Set("Last-Modified", time.Unix(1e9, 0).UTC().Format(http.TimeFormat))
		http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(content))
	}
}

func (b *bucket) multipart(w http.ResponseWriter, r *http.Request, q url.Values, key string, body []byte) {
	id := q.Get("uploadId")
	switch r.Method {
	case http.MethodPut:
		n, _ := strconv.Atoi(q.Get("partNumber"))
		b.parts[id][n] = body
		w.Header().Set("ETag", etag(body))
	case http.MethodPost:
		var whole []byte
		for n := 1; b.parts[id][n] != nil; n++ {
			whole = append(whole, b.parts[id][n]...)
		}
		b.objects[key] = whole
		fmt.Fprintf(w, `<CompleteMultipartUploadResult><Bucket>backups</Bucket><Key>%s</Key><ETag>%s</ETag></CompleteMultipartUploadResult>`, key, etag(whole))
	case http.MethodDelete:
		b.aborted++
		delete(b.parts, id)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (b *bucket) list(w http.ResponseWriter, q url.Values) {
	type content struct {
		Key          string
		Size         int
		LastModified string
	}
	out := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []content
		CommonPrefixes        []struct{ Prefix string }
	}{}
	var keys []string
	for k := range b.objects {
		if rest, ok := strings.CutPrefix(k, q.Get("prefix")); ok && !strings.Contains(rest, "/") && k > q.Get("continuation-token") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys[:min(len(keys), 3)] {
		out.Contents = append(out.Contents, content{k, len(b.objects[k]), time.Unix(1e9, 0).UTC().Format(time.RFC3339)})
		out.NextContinuationToken = k
	}
	out.IsTruncated = len(keys) > 3
	_ = xml.NewEncoder(w).Encode(out)
}

// payload reads a request's body, which may be cut into signed chunks.
func payload(r *http.Request) ([]byte, error) {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return io.ReadAll(r.Body)
	}
	in := bufio.NewReader(r.Body)
	var out []byte
	for {
		head, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(head), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			want, err := strconv.Atoi(r.Header.Get("X-Amz-Decoded-Content-Length"))
			if err == nil && want != len(out) {
				err = io.ErrUnexpectedEOF
			}
			return out, err
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(in, chunk); err != nil {
			return nil, err
		}
		out = append(out, chunk[:n]...)
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<Error><Code>%s</Code><Message>%s</Message></Error>`, code, code)
}

func etag(content []byte) string {
	sum := md5.Sum(content) //nolint:gosec // as S3 has it
	return `"` + hex.EncodeToString(sum[:]) + `"`
}
