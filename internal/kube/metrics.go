package kube

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
)

const (
	metricDeprecated = "apiserver_requested_deprecated_apis"
	maxMetricLine    = 1 << 20
	// forMetrics is how long reading them may take: on a large cluster they are tens of
	// megabytes, of which one metric is wanted.
	forMetrics = 10 * time.Second
)

// DeprecatedRequests reads which API versions on their way out were asked for
// since the API server started. Behind a load balancer this is one of several
// servers; [APIServer.DeprecatedRequests] asks a particular one. It gives up after
// ten seconds.
func (c *Client) DeprecatedRequests(ctx context.Context) ([]cluster.DeprecatedRequest, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, forMetrics, fmt.Errorf("not read within %s", forMetrics))
	defer cancel()
	out, err := c.deprecatedRequests(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("metrics of the API server: %w", context.Cause(ctx))
	}
	return out, err
}

func (c *Client) deprecatedRequests(ctx context.Context) ([]cluster.DeprecatedRequest, error) {
	body, err := c.clientset.Discovery().RESTClient().Get().AbsPath("/metrics").Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("metrics of the API server: %w", err)
	}
	defer body.Close()
	return deprecatedRequests(body)
}

// deprecatedRequests finds one metric in the text format. Servers before 1.19
// do not have it.
func deprecatedRequests(metrics io.Reader) ([]cluster.DeprecatedRequest, error) {
	var out []cluster.DeprecatedRequest
	lines := bufio.NewScanner(metrics)
	lines.Buffer(nil, maxMetricLine)
	for lines.Scan() {
		rest, found := strings.CutPrefix(lines.Text(), metricDeprecated+"{")
		if !found {
			continue
		}
		labels, value := parseLabels(rest)
		if value == "0" || labels["resource"] == "" {
			continue
		}
		r := cluster.DeprecatedRequest{Group: labels["group"], Version: labels["version"], Resource: labels["resource"], RemovedRelease: labels["removed_release"]}
		if !slices.Contains(out, r) { // subresources are told apart there, not here
			out = append(out, r)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("metrics of the API server: %w", err)
	}
	slices.SortFunc(out, func(a, b cluster.DeprecatedRequest) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Resource, b.Resource))
	})
	return out, nil
}

// parseLabels reads `a="x",b="y"} 1` into labels and value. A line that is not
// of that form gives what was read before the fault.
func parseLabels(s string) (labels map[string]string, value string) {
	labels = map[string]string{}
	for {
		name, rest, ok := strings.Cut(strings.TrimLeft(s, ", "), `="`)
		if !ok || strings.HasPrefix(name, "}") {
			break
		}
		var text strings.Builder
		i := 0
		for ; i < len(rest) && rest[i] != '"'; i++ {
			if rest[i] == '\\' && i+1 < len(rest) {
				i++
			}
			text.WriteByte(rest[i])
		}
		if i >= len(rest) {
			return labels, ""
		}
		labels[name], s = text.String(), rest[i+1:]
	}
	value, _, _ = strings.Cut(strings.TrimSpace(strings.TrimLeft(s, ",} ")), " ")
	return labels, value
}
