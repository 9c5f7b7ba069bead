package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Target says where an S3-compatible bucket is.
type S3Target struct {
	Endpoint string // https://s3.example.com
	Bucket   string
	Prefix   string // of the names in it
	Region   string // empty: us-east-1
	// CredentialsFile is a file as the AWS tools have it. Empty: the environment's
	// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then ~/.aws/credentials.
	CredentialsFile string
}

// S3 is a place in a bucket of an S3-compatible store. An object is whole or not there.
type S3 struct {
	target S3Target

	mu     sync.Mutex
	client *minio.Client
}

// NewS3 connects to nothing and reads no credentials: the first use does.
func NewS3(target S3Target) *S3 {
	target.Prefix = strings.Trim(path.Clean("/"+target.Prefix), "/")
	return &S3{target: target}
}

// String implements [Place].
func (s *S3) String() string {
	return "s3://" + path.Join(s.target.Bucket, s.target.Prefix) + " at " + s.target.Endpoint
}

const (
	defaultRegion = "us-east-1"
	// partBytes is how much of a large file is sent, and kept in memory, at once.
	partBytes = 16 << 20
	// tries is how often a request is sent before a failure counts.
	tries = 3
)

// open makes the client.
func (s *S3) open() (*minio.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	u, err := url.Parse(s.target.Endpoint)
	if err != nil || u.Host == "" {
		return nil, &SettingsError{Err: fmt.Errorf("snapshots.second.s3.endpoint: %q is not a URL", s.target.Endpoint), Hint: "write one such as https://s3.example.com"}
	}
	keys, err := s.target.credentials()
	if err != nil {
		return nil, err
	}
	transport, err := minio.DefaultTransport(u.Scheme == "https")
	if err != nil {
		return nil, err
	}
	transport.ResponseHeaderTimeout = patience
	region := s.target.Region
	if region == "" {
		region = defaultRegion
	}
	s.client, err = minio.New(u.Host, &minio.Options{
		Creds: keys, Secure: u.Scheme == "https", Region: region, Transport: transport, MaxRetries: tries,
	})
	return s.client, err
}

// credentials reads them, since a file that is missing would become a request without
// any.
func (t S3Target) credentials() (*credentials.Credentials, error) {
	var providers []credentials.Provider
	if file := t.CredentialsFile; file != "" {
		info, err := os.Stat(file)
		switch {
		case err != nil:
			return nil, &SettingsError{Err: fmt.Errorf("snapshots.second.s3.credentialsFile: %w", err), Hint: "write the file with mode 0600, or remove the field to use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}
		case info.Mode().Perm()&0o077 != 0:
			return nil, &SettingsError{Err: fmt.Errorf("snapshots.second.s3.credentialsFile: %s can be read by others (mode %04o)", file, info.Mode().Perm()), Hint: "chmod 600 " + file}
		}
		providers = append(providers, &credentials.FileAWSCredentials{Filename: file})
	} else {
		providers = append(providers, &credentials.EnvAWS{}, &credentials.FileAWSCredentials{})
	}
	chain := credentials.NewChainCredentials(providers)
	value, err := chain.GetWithContext(nil)
	if err != nil || value.AccessKeyID == "" {
		return nil, &SettingsError{Err: fmt.Errorf("no credentials for %s were found", t.Endpoint), Hint: "set snapshots.second.s3.credentialsFile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}
	}
	return chain, nil
}

func (s *S3) key(name string) string { return path.Join(s.target.Prefix, name) }

// Put implements [Place].
func (s *S3) Put(ctx context.Context, name string, content io.Reader, size int64) error {
	c, err := s.open()
	if err != nil {
		return err
	}
	options := minio.PutObjectOptions{ContentType: "application/octet-stream", PartSize: partBytes, SendContentMd5: true}
	if t, ok := content.(ticking); ok {
		options.Progress = sent{t.tick} // of every piece that is sent, and not when a part was read
	}
	done, err := c.PutObject(ctx, s.target.Bucket, s.key(name), content, size, options)
	if err == nil && done.Size != size {
		err = fmt.Errorf("%w: %d of %d bytes came", io.ErrUnexpectedEOF, done.Size, size)
	}
	return failure(err)
}

// sent is told of what was sent by being read from.
type sent struct{ tick func() }

func (s sent) Read(p []byte) (int, error) {
	s.tick()
	return len(p), nil
}

// Open implements [Place].
func (s *S3) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	c, err := s.open()
	if err != nil {
		return nil, err
	}
	o, err := c.GetObject(ctx, s.target.Bucket, s.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, failure(err)
	}
	if _, err := o.Stat(); err != nil { // the request is made only now
		return nil, errors.Join(failure(err), o.Close())
	}
	return o, nil
}

// List implements [Place].
func (s *S3) List(ctx context.Context) ([]File, error) {
	c, err := s.open()
	if err != nil {
		return nil, err
	}
	prefix := s.target.Prefix
	if prefix != "" {
		prefix += "/"
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing that was not read to its end
	var out []File
	for o := range c.ListObjects(ctx, s.target.Bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if o.Err != nil {
			return nil, failure(o.Err)
		}
		if name := strings.TrimPrefix(o.Key, prefix); isOurs(name) {
			out = append(out, File{Name: name, Size: o.Size, Modified: o.LastModified})
		}
	}
	return out, ctx.Err()
}

// Remove implements [Place].
func (s *S3) Remove(ctx context.Context, name string) error {
	c, err := s.open()
	if err != nil {
		return err
	}
	err = failure(c.RemoveObject(ctx, s.target.Bucket, s.key(name), minio.RemoveObjectOptions{}))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// failure gives the error that the store's answer stands for.
func failure(err error) error {
	if err == nil {
		return nil
	}
	answer := minio.ToErrorResponse(err)
	switch {
	case answer.Code == minio.NoSuchKey:
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case answer.StatusCode == http.StatusForbidden || answer.Code == minio.AccessDenied:
		return fmt.Errorf("the store refuses these credentials: %w", err)
	case answer.Code == minio.NoSuchBucket:
		return fmt.Errorf("the bucket does not exist: %w", err)
	}
	return err
}
