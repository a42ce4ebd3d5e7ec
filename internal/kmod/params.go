package kmod

import (
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// Params is what the kernel command line and modprobe.d(5) say about modules.
type Params struct {
	options   map[string][]string // by module: "name=value", in the order given
	blacklist map[string]bool     // modprobe.blacklist=: not loaded through an alias
	denied    map[string]bool     // module_blacklist=: the kernel refuses to load them at all
	skipped   map[string]bool     // not loaded, without an error
	softDeps  map[string]softDeps // by module, besides those that it names itself
}

// ParseParams reads the text of a kernel command line: "MODULE.NAME=VALUE" sets a parameter
// of a module, "modprobe.blacklist=A,B" keeps modules from being loaded for a device or another
// alias, "module_blacklist=A,B" from being loaded at all. Everything else is ignored.
func ParseParams(cmdline string) Params {
	p := Params{
		options: map[string][]string{}, blacklist: map[string]bool{}, denied: map[string]bool{},
		skipped: map[string]bool{}, softDeps: map[string]softDeps{},
	}
	for _, word := range boot.SplitWords(cmdline) {
		if word == "--" { // what follows is for init
			break
		}
		key, value, hasValue := strings.Cut(word, "=")
		switch Normalize(key) {
		case "modprobe.blacklist":
			addNames(p.blacklist, value)
			continue
		case "module_blacklist":
			addNames(p.denied, value)
			continue
		}
		module, name, ok := strings.Cut(key, ".")
		if !ok || module == "" || name == "" {
			continue
		}
		module = Normalize(module)
		p.options[module] = append(p.options[module], option(name, value, hasValue))
	}
	return p
}

// option writes one module parameter in the form the kernel reads, quoted where it must be.
func option(name, value string, hasValue bool) string {
	switch {
	case !hasValue:
		return name
	case strings.ContainsAny(value, " \t"):
		return name + `="` + value + `"`
	}
	return name + "=" + value
}

func addNames(set map[string]bool, list string) {
	for name := range strings.SplitSeq(list, ",") {
		if name != "" {
			set[Normalize(name)] = true
		}
	}
}
