package initramfs

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/toolchain"
)

// ModulePath is that of zerodisc.
const ModulePath = "github.com/zerodisc/zerodisc"

// applets are the names by which cmd/init is called besides "init", and where.
var applets = []string{
	"/usr/sbin/poweroff", "/usr/sbin/reboot", "/usr/sbin/halt",
	"/usr/sbin/modprobe", "/usr/bin/status", "/usr/bin/board", "/usr/bin/udevadm", "/usr/sbin/zerodisc-state",
	"/usr/bin/guest", "/usr/bin/sh", "/usr/sbin/zerodisc-config",
	"/usr/bin/services", "/usr/bin/logs", "/usr/sbin/zerodisc-report", "/usr/bin/ssh-password",
}

// hotplugScripts are the names by which libxl calls cmd/init.
var hotplugScripts = []string{"/etc/xen/scripts/vif-bridge", "/etc/xen/scripts/block"}

// programs of zerodisc, by the package they are compiled from.
type programs struct {
	stage1   string   // the kernel's /init
	init     string   // everything else, u-root's commands among it
	commands []string // names of u-root's commands
}

// buildFlags make a small program that is the same wherever it is built: no symbols, no paths, no
// build id, and no inlined functions (18.6 MB with, 16.8 MB without).
var buildFlags = []string{"build", "-trimpath", "-ldflags=-s -w -buildid=", "-gcflags=all=-l"}

// compile compiles the programs into dir, statically linked.
func (in Inputs) compile(ctx context.Context, dir string) (p programs, err error) {
	packages, err := urootCommands(ctx, in.Go, in.Source)
	if err != nil {
		return p, err
	}
	rewritten, err := in.rewriteCommands(ctx, packages)
	if err != nil {
		return p, err
	}
	seen, err := overlay(in.Source, dir, rewritten, packages)
	if err != nil {
		return p, err
	}
	p.init, p.stage1 = filepath.Join(dir, "init"), filepath.Join(dir, "stage1")
	if err := in.goBuild(ctx, "-overlay", seen, "-o", p.init, "./cmd/init"); err != nil {
		return p, err
	}
	if err := in.goBuild(ctx, "-o", p.stage1, "./cmd/init/stage1"); err != nil {
		return p, err
	}
	for _, name := range packages {
		p.commands = append(p.commands, path.Base(name))
	}
	return p, nil
}

// goBuild compiles a program of the disc.
func (in Inputs) goBuild(ctx context.Context, args ...string) error {
	_, err := in.Go.Run(ctx, in.Source, slices.Concat(buildFlags, args)...)
	return err
}

// Module is a Go module whose packages are compiled into the userland.
type Module struct {
	Path, Version string
	Dir           string   // its files on this machine
	Licences      []string // names of the files in Dir that carry its licence
}

// UserlandModules lists the modules that the userland is compiled from besides this one, sorted.
func UserlandModules(ctx context.Context, compiler *toolchain.Toolchain, source string) ([]Module, error) {
	commands, err := urootCommands(ctx, compiler, source)
	if err != nil {
		return nil, err
	}
	const format = `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}`
	list := append([]string{"list", "-deps", "-f", format, "./cmd/init"}, commands...)
	out, err := compiler.Run(ctx, source, list...)
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

// userlandImage lists what is mounted at /usr, in dom0 and in the demo guests: init under every name.
func userlandImage(p programs) (*Archive, error) {
	a := NewArchive()
	for _, name := range p.commands {
		a.Link("bin/"+name, "init")
	}
	for _, name := range applets {
		a.Link(strings.TrimPrefix(name, "/usr/"), boot.InitProgram)
	}
	a.Dir(strings.TrimPrefix(boot.Dom0Mount, "/usr/"), 0o755)
	return a, a.File(strings.TrimPrefix(boot.InitProgram, "/usr/"), p.init, 0o755)
}

// outline adds what an initrd has outside of its images: the kernel's /init, and the files and
// links that every system is expected to have.
func outline(a *Archive, p programs) error {
	for _, link := range []string{"bin", "sbin", "lib"} {
		a.Link("/"+link, "usr/"+link)
	}
	a.Link("/lib64", "usr/lib")
	a.Link("/var/run", "../run")
	a.Link("/var/lock", "../run/lock")
	// Without these two the Go runtime ends before main.
	a.CharDev("/dev/console", 0o600, 5, 1)
	a.CharDev("/dev/null", 0o666, 1, 3)
	for name, text := range etc {
		a.Text(name, text, 0o644)
	}
	a.Dir("/root", 0o700)
	a.Dir("/usr", 0o755)
	return a.File("/init", p.stage1, 0o755)
}

// groups is the text of group(5).
func groups() string {
	var lines []string
	for name, id := range boot.Groups {
		lines = append(lines, fmt.Sprintf("%s:x:%d:\n", name, id))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// etc are the files that libraries and u-root's commands expect.
var etc = map[string]string{
	"/etc/passwd":        "root:x:0:0:root:/root:/bin/sh\n",
	"/etc/group":         groups(),
	"/etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
