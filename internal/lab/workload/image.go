package workload

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Entrypoint is where the program is in the image.
const Entrypoint = "/workload"

const program = "github.com/kup-project/kup/cmd/kup-lab-workload"

// Build compiles the image's only file, a static program, into dir and returns
// its path. It must be called from within kup's source tree.
func Build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "workload")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", program, err, out)
	}
	return binary, nil
}
