package artifact

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// SigningKey is the lab's own key, made once per store. It signs nothing but
// lab repositories.
type SigningKey struct{ dir string }

// Keyring is the public key in the form apt wants it.
func (k SigningKey) Keyring() string { return filepath.Join(k.dir, "keyring.gpg") }

// SigningKey returns the store's key and makes it when absent.
func (s *Store) SigningKey(ctx context.Context) (SigningKey, error) {
	dir, err := s.ensure(ctx, recipe{kind: "keys", name: "apt", inputs: []string{"2"}}, func(ctx context.Context, dir string) error {
		return withGPG(ctx, func(gpg func(stdin []byte, args ...string) (string, error)) error {
			if _, err := gpg(nil, "--quick-generate-key", "kup lab packages <lab@kup.invalid>", "rsa2048", "sign", "never"); err != nil {
				return err
			}
			if _, err := gpg(nil, "--output", filepath.Join(dir, "keyring.gpg"), "--export"); err != nil {
				return err
			}
			private := filepath.Join(dir, "private.gpg")
			if _, err := gpg(nil, "--output", private, "--export-secret-keys"); err != nil {
				return err
			}
			return os.Chmod(private, 0o600)
		})
	})
	return SigningKey{dir: dir}, err
}

// sign adds InRelease, Release.gpg and Release.key to the repository's files.
func (k SigningKey) sign(ctx context.Context, files map[string][]byte) error {
	return withGPG(ctx, func(gpg func(stdin []byte, args ...string) (string, error)) error {
		if _, err := gpg(nil, "--import", filepath.Join(k.dir, "private.gpg")); err != nil {
			return err
		}
		for name, args := range map[string][]string{
			"InRelease":   {"--digest-algo", "SHA256", "--clearsign"},
			"Release.gpg": {"--digest-algo", "SHA256", "--armor", "--detach-sign"},
			"Release.key": {"--armor", "--export"},
		} {
			out, err := gpg(files["Release"], args...)
			if err != nil {
				return err
			}
			files[name] = []byte(out)
		}
		return nil
	})
}

// withGPG gives do a gpg with a home of its own and stops the agent it starts.
// The home is under the temporary directory because the agent's socket path
// must be short.
func withGPG(ctx context.Context, do func(gpg func(stdin []byte, args ...string) (string, error)) error) error {
	home, err := os.MkdirTemp("", "kup-gpg-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	defer func() {
		// The agent may never have started; then there is nothing to stop.
		_, _ = command{argv: []string{"gpgconf", "--homedir", home, "--kill", "all"}}.run(context.WithoutCancel(ctx))
	}()
	return do(func(stdin []byte, args ...string) (string, error) {
		argv := append([]string{"gpg", "--homedir", home, "--batch", "--yes", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)
		out, err := command{argv: argv, stdin: stdin}.run(ctx)
		if err != nil {
			return "", fmt.Errorf("sign packages: %w", err)
		}
		return out, nil
	})
}
