package kube

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// EtcdImageTag gives etcd.local.imageTag of kubeadm's configuration; empty: kubeadm
// chooses etcd's image itself.
func (c *Client) EtcdImageTag(ctx context.Context) (string, error) {
	data, err := c.configMap(ctx, configMapKubeadm)
	if err != nil {
		return "", err
	}
	tag, err := etcdTag(data[keyClusterConfig])
	return tag.value, err
}

// ReplaceEtcdImageTag makes etcd.local.imageTag of kubeadm's configuration another
// one, empty: none. It fails with *TagError unless the tag is the one expected, and
// leaves every other byte of the configuration as it is. It may be repeated.
func (c *Client) ReplaceEtcdImageTag(ctx context.Context, expected, tag string) error {
	maps := c.clientset.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		m, err := maps.Get(ctx, configMapKubeadm, metav1.GetOptions{})
		if err != nil {
			return err
		}
		config := m.Data[keyClusterConfig]
		switch is, err := etcdTag(config); {
		case err != nil:
			return err
		case is.value == tag:
			return nil
		case is.value != expected:
			return &TagError{Got: is.value, Want: expected}
		}
		if m.Data[keyClusterConfig], err = withEtcdTag(config, tag); err != nil {
			return err
		}
		_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
		return err
	})
	if err != nil && apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		return fmt.Errorf("ConfigMap kube-system/%s: %w", configMapKubeadm, err)
	}
	return err
}

// TagError is an etcd.local.imageTag that somebody else set or removed.
type TagError struct {
	Got, Want string // empty: none
}

func (e *TagError) Error() string {
	or := func(tag string) string {
		if tag == "" {
			return "absent"
		}
		return tag
	}
	return fmt.Sprintf("ConfigMap kube-system/%s: etcd.local.imageTag is %s, and kup expects %s: somebody else changed it", configMapKubeadm, or(e.Got), or(e.Want))
}

// tagPlace is where etcd's tag stands in a ClusterConfiguration, or would.
type tagPlace struct {
	value string // empty: there is no tag
	// line is that of the tag, or of the first field beside which it would stand,
	// counted from 1; indent is the column there, from 0.
	line, indent int
}

// errNoPlace never quotes the configuration: it may hold secrets.
var errNoPlace = errors.New("ConfigMap kube-system/" + configMapKubeadm + ": ClusterConfiguration has no etcd.local in the form that kubeadm writes; see kubectl -n kube-system get configmap " + configMapKubeadm + " -o yaml")

func etcdTag(config string) (tagPlace, error) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(config), &document); err != nil || len(document.Content) != 1 {
		return tagPlace{}, errNoPlace
	}
	_, etcd := field(document.Content[0], "etcd")
	_, local := field(etcd, "local")
	key, tag := field(local, "imageTag")
	switch {
	case tag != nil:
		return tagPlace{value: tag.Value, line: key.Line, indent: key.Column - 1}, nil
	case local != nil && local.Kind == yaml.MappingNode && local.Style&yaml.FlowStyle == 0 && len(local.Content) > 0:
		first := local.Content[0]
		return tagPlace{line: first.Line, indent: first.Column - 1}, nil
	}
	return tagPlace{}, nil
}

// field gives a mapping's key and value; nil when there is none.
func field(m *yaml.Node, name string) (key, value *yaml.Node) {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == name {
			return m.Content[i], m.Content[i+1]
		}
	}
	return nil, nil
}

// withEtcdTag sets, changes or removes the tag's own line, so that setting and
// removing it gives back what was there. What comes out is read again: nothing else
// of the configuration may have changed.
func withEtcdTag(config, tag string) (string, error) {
	place, err := etcdTag(config)
	if err != nil || place.line == 0 {
		return "", errNoPlace
	}
	lines := strings.SplitAfter(config, "\n")
	at, replaced := place.line-1, 0
	if place.value != "" {
		replaced = 1
	}
	var own []string
	if tag != "" {
		own = []string{strings.Repeat(" ", place.indent) + "imageTag: " + tag + "\n"}
	}
	out := strings.Join(slices.Replace(lines, at, at+replaced, own...), "")
	was, wasErr := withoutTag(config)
	is, isErr := withoutTag(out)
	now, nowErr := etcdTag(out)
	if errors.Join(wasErr, isErr, nowErr) != nil || now.value != tag || !reflect.DeepEqual(was, is) {
		return "", errNoPlace
	}
	return out, nil
}

// withoutTag reads a configuration and leaves etcd's tag out.
func withoutTag(config string) (map[string]any, error) {
	var out map[string]any
	if err := yaml.Unmarshal([]byte(config), &out); err != nil {
		return nil, errNoPlace
	}
	etcd, _ := out["etcd"].(map[string]any)
	if local, ok := etcd["local"].(map[string]any); ok {
		delete(local, "imageTag")
	}
	return out, nil
}
