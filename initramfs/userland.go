package initramfs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// uroot is the import path below which u-root's commands live. Those named in the tool block of
// go.mod are on the disc: it is their one list, and it keeps what they need in go.sum.
const uroot = "github.com/u-root/u-root/cmds/"

// applets are the names by which cmd/init is called besides "init", and where. They are files
// with an interpreter line, because the multi-call binary takes the command's name from the last
// symbolic link before the binary.
var applets = []string{
	"/usr/sbin/poweroff", "/usr/sbin/reboot", "/usr/sbin/halt",
	"/usr/sbin/modprobe", "/usr/bin/status",
	"/etc/xen/scripts/vif-bridge", "/etc/xen/scripts/block",
}

// bb is the multi-call binary's path in the initrd.
const bb = "/usr/bin/bb"

// BuildUserland compiles init and u-root's commands into one static binary, with gobusybox, and
// returns its file in dir. source is the module's root directory.
func BuildUserland(ctx context.Context, source, dir string) (string, error) {
	commands, err := urootCommands(ctx, source)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "bb")
	// The generated sources stand at the same place each time, so that the compiler's cache
	// knows them again; ./... passes a name with an underscore over.
	generated := filepath.Join(dir, "_src")
	if err := os.RemoveAll(generated); err != nil {
		return "", fmt.Errorf("clean generated sources: %w", err)
	}
	// goshliner: a shell that asks the terminal nothing. The default one waits for the terminal's
	// colours and cursor before its first prompt, which a plain serial line never answers.
	args := append([]string{"tool", "makebb", "-go-mod=mod", "-go-build-tags", "goshliner", "-gen-dir", generated, "-o", binary, "./cmd/init"}, commands...)
	if _, err := goCommand(ctx, source, args...); err != nil {
		return "", fmt.Errorf("build the userland: %w", err)
	}
	return binary, nil
}

// urootCommands lists the import paths of u-root's commands in go.mod.
func urootCommands(ctx context.Context, source string) ([]string, error) {
	out, err := goCommand(ctx, source, "list", "tool")
	if err != nil {
		return nil, fmt.Errorf("list u-root's commands: %w", err)
	}
	var commands []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, uroot) {
			commands = append(commands, line)
		}
	}
	return commands, nil
}

// Module is a Go module whose packages are compiled into the userland.
type Module struct {
	Path, Version string
	Dir           string   // its files on this machine
	Licences      []string // names of the files in Dir that carry its licence
}

// UserlandModules lists the modules that the userland is compiled from besides this one, sorted.
func UserlandModules(ctx context.Context, source string) ([]Module, error) {
	commands, err := urootCommands(ctx, source)
	if err != nil {
		return nil, err
	}
	const format = `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}`
	out, err := goCommand(ctx, source, append([]string{"list", "-deps", "-f", format, "./cmd/init"}, commands...)...)
	if err != nil {
		return nil, fmt.Errorf("list the userland's modules: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	var modules []Module
	for _, line := range slices.Compact(lines) {
		f := strings.SplitN(line, " ", 3)
		if len(f) < 3 {
			continue
		}
		m := Module{Path: f[0], Version: f[1], Dir: f[2]}
		if m.Licences, err = licences(m.Dir); err != nil {
			return nil, err
		}
		modules = append(modules, m)
	}
	return modules, nil
}

// licences names the licence files of a module.
func licences(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		for _, prefix := range []string{"LICENSE", "LICENCE", "COPYING", "NOTICE"} {
			if e.Type().IsRegular() && strings.HasPrefix(strings.ToUpper(e.Name()), prefix) {
				names = append(names, e.Name())
			}
		}
	}
	return names, nil
}

// goCommand runs the go tool in dir for the disc's machine and returns its standard output.
func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=-buildvcs=false")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, strings.TrimSpace(string(out)+stderr.String()))
	}
	return string(out), nil
}

// addUserland adds the binary, a link for every command in it, the applets and the file system's
// outline, which dom0 and the guests share.
func addUserland(a *Archive, binary string, commands []string) error {
	if err := a.File(bb, binary, 0o755); err != nil {
		return err
	}
	for _, command := range commands {
		a.Link("/usr/bin/"+filepath.Base(command), "bb")
	}
	a.Link("/usr/bin/init", "bb")
	a.Link("/usr/bin/sh", "gosh")
	a.Link("/init", "usr/bin/init")
	for _, name := range applets {
		a.Text(name, "#!"+bb+" #!/usr/bin/init\n", 0o755)
	}
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} {
		a.Link("/"+link, "usr/"+link)
	}
	a.Link("/var/run", "../run")
	a.Link("/var/lock", "../run/lock")
	// Without these two the Go runtime ends before main.
	a.CharDev("/dev/console", 0o600, 5, 1)
	a.CharDev("/dev/null", 0o666, 1, 3)
	for name, text := range etc {
		a.Text(name, text, 0o644)
	}
	a.Dir("/root", 0o700)
	return nil
}

// etc are the files that libraries and u-root's commands expect.
var etc = map[string]string{
	"/etc/passwd":        "root:x:0:0:root:/root:/bin/sh\n",
	"/etc/group":         "root:x:0:\ntty:x:5:\n",
	"/etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
