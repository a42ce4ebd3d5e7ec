package toolchain

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// passed are the settings of this machine's Go that decide where modules come from and where caches are,
// and nothing of what is compiled.
var passed = []string{
	"GOPATH", "GOMODCACHE", "GOCACHE", "GOTMPDIR",
	"GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE", "GOVCS", "GOAUTH",
}

// fixed are the settings that decide what is compiled. What a person has set for work of their own, in the
// environment or in the file that GOENV names (GOFLAGS, GOEXPERIMENT, GOFIPS140, GOAMD64, a workspace), does
// not reach the disc.
var fixed = map[string]string{
	"GOENV":       "off",
	"GOTOOLCHAIN": "local",
	"GOWORK":      "off",
	"GOFLAGS":     "-buildvcs=false",
	"GOOS":        "linux",
	"GOARCH":      "amd64",
	"GOAMD64":     "v1",
	"CGO_ENABLED": "0",
}

// hostSettings asks this machine's Go for the settings that are passed on.
func hostSettings(ctx context.Context) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"env", "-json"}, passed...)...)
	cmd.Dir = "/" // outside of every module
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	settings := map[string]string{}
	if err := json.Unmarshal(out, &settings); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	return settings, nil
}

// environment is environ without anything that is Go's, with the settings passed on, and with the fixed ones.
func environment(environ []string, settings map[string]string) []string {
	env := slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		return strings.HasPrefix(variable, "GO") || strings.HasPrefix(variable, "CGO_")
	})
	for _, name := range passed {
		if value := settings[name]; value != "" {
			env = append(env, name+"="+value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fixed)) {
		env = append(env, name+"="+fixed[name])
	}
	return env
}
