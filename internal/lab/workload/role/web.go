package role

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"
)

// Greeting begins every answer of the web role.
const Greeting = "kup-lab web"

const defaultLinger = 10 * time.Second

func web(ctx context.Context, getenv func(string) string) error {
	linger, err := duration(getenv, "LINGER", defaultLinger)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	s := &server{linger: linger, handler: greeter(host)}
	return s.run(ctx, orDefault(getenv("LISTEN"), ":8080"))
}

func greeter(host string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s %s\n", Greeting, host)
	})
}
