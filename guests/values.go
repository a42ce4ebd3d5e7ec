package guests

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/lazyregexp"
)

// rule says which values of a setting xl 4.20 takes (tools/xl/xl_parse.c), where it stops at others. Settings
// that xl takes or skips whatever they say have none, and those that need more than one value a check of
// their own.
type rule struct {
	setting string
	list    bool                    // each element of a list is checked; else it is one value
	either  bool                    // both are right
	check   func(value string) bool // says whether the value is taken
	remedy  string
}

var (
	actions = []string{
		"destroy", "restart", "rename-restart", "preserve", "coredump-destroy", "coredump-restart", "soft-reset",
	}
	// The modes' numbers are their places.
	tscModes   = []string{"default", "always_emulate", "native", "native_paravirt"}
	timerModes = []string{"delay_for_missed_ticks", "no_delay_for_missed_ticks", "no_missed_ticks_pending",
		"one_missed_tick_pending"}
	altp2mModes = []string{"disabled", "mixed", "external", "limited"}
)

var (
	uuidForm   = lazyregexp.New(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	ioportForm = lazyregexp.New(`^(0[xX])?[0-9a-fA-F]{1,8}(-(0[xX])?[0-9a-fA-F]{1,8})?$`)
	iomemForm  = lazyregexp.New(`^ *(0[xX])?[0-9a-fA-F]{1,16}, *(0[xX])?[0-9a-fA-F]{1,16}` +
		`(@ *(0[xX])?[0-9a-fA-F]{1,16})?$`)
	irqForm = lazyregexp.New(`^ *[0-9]{1,9}$`)
)

var rules = []rule{
	{setting: "uuid", check: uuidForm.MatchString,
		remedy: "write it like 6ba7b810-9dad-11d1-80b4-00c04fd430c8, or remove it"},
	actionRule("on_poweroff"),
	actionRule("on_reboot"),
	actionRule("on_watchdog"),
	actionRule("on_crash"),
	actionRule("on_soft_reset"),
	{setting: "cpus", either: true, check: isCPURange, remedy: cpusRemedy},
	{setting: "cpus_soft", either: true, check: isCPURange, remedy: cpusRemedy},
	{setting: "pci", list: true, check: isPCI, remedy: "write BUS:DEVICE.FUNCTION as lspci does, for example 03:00.0"},
	{setting: "irqs", list: true, check: irqForm.MatchString, remedy: "write decimal numbers"},
	{setting: "ioports", list: true, check: ioportForm.MatchString,
		remedy: "write a hexadecimal number, or two with - between them"},
	{setting: "iomem", list: true, check: iomemForm.MatchString,
		remedy: "write START,PAGES or START,PAGES@GFN in hexadecimal"},
	{setting: "llc_colors", list: true, check: isRange, remedy: "write a number, or two with - between them"},
	modeRule("tsc_mode", tscModes),
	modeRule("timer_mode", timerModes),
	modeRule("altp2m", altp2mModes),
	choiceRule("passthrough", "default", "disabled", "enabled", "sync_pt", "share_pt"),
	choiceRule("device_model_version", "qemu-xen", "qemu-xen-traditional"),
	choiceRule("vuart", "unknown", "sbsa_uart"),
	choiceRule("gic_version", "default", "v2", "v3"),
	choiceRule("tee", "none", "optee", "ffa"),
	boundRule("max_grant_frames"),
	boundRule("max_maptrack_frames"),
	boundRule("max_grant_version"),
}

const cpusRemedy = `write CPUs like "2", "0-3,^1", "nodes:0" or "all"`

func actionRule(setting string) rule {
	return rule{setting: setting, check: func(value string) bool { return slices.Contains(actions, value) },
		remedy: "write " + strings.Join(actions, ", ")}
}

// choiceRule takes one of words, in whatever case.
func choiceRule(setting string, words ...string) rule {
	return rule{setting: setting, remedy: "write " + strings.Join(words, ", "),
		check: func(value string) bool { return slices.Contains(words, strings.ToLower(value)) }}
}

// modeRule takes one of words or the number of its place.
func modeRule(setting string, words []string) rule {
	r := choiceRule(setting, words...)
	byName := r.check
	r.check = func(value string) bool {
		n, err := parseInt(value)
		return byName(value) || err == nil && n >= 0 && n < int64(len(words))
	}
	return r
}

// boundRule takes a number that fits C's int and is not negative.
func boundRule(setting string) rule {
	const most = 1<<31 - 1
	check := func(value string) bool {
		n, err := parseInt(value)
		return err == nil && n >= 0 && n <= most
	}
	return rule{setting: setting, check: check, remedy: fmt.Sprintf("write a number from 0 to %d", most)}
}

// isCPURange takes CPUs, or nodes with all their CPUs, separated by commas: 0-3, ^1, node:0, nodes:0-1, all.
func isCPURange(value string) bool {
	for part := range strings.SplitSeq(value, ",") {
		part, not := strings.CutPrefix(part, "^")
		for _, prefix := range []string{"node:", "nodes:"} {
			if nodes, ok := strings.CutPrefix(part, prefix); ok {
				part = nodes
				break
			}
		}
		if part != "" && (part != "all" || not) && !isRange(part) {
			return false
		}
	}
	return true
}

// isRange takes what parseRange does.
func isRange(value string) bool {
	_, _, ok := parseRange(value)
	return ok
}

// parseRange reads a decimal number, or two with a dash between them of which the second is not the smaller.
func parseRange(value string) (from, to int64, ok bool) {
	first, last, two := strings.Cut(value, "-")
	if !two {
		last = first
	}
	from, err := strconv.ParseInt(strings.TrimLeft(first, " "), 10, 32)
	if err != nil || from < 0 {
		return 0, 0, false
	}
	to, err = strconv.ParseInt(strings.TrimLeft(last, " "), 10, 32)
	return from, to, err == nil && to >= from
}

// bdfForm is a PCI device: DOMAIN:BUS:DEVICE.FUNCTION, the domain may be missing, * for all functions.
var bdfForm = lazyregexp.New(
	`^([0-9a-fA-F]{1,4}:)?[0-9a-fA-F]{1,2}:[01]?[0-9a-fA-F]\.[0-7*](@[01]?[0-9a-fA-F])?$`)

// pciKeys are the parameters of a PCI device besides its address.
var pciKeys = []string{"vslot", "permissive", "msitranslate", "seize", "power_mgmt", "rdm_policy"}

// isPCI takes xl-pci-configuration(5): an address or a name, and parameters.
func isPCI(value string) bool {
	addresses := 0
	for i, word := range strings.Split(strings.TrimSuffix(value, ","), ",") {
		key, text, isPair := strings.Cut(word, "=")
		switch {
		case i == 0 && !isPair && bdfForm.MatchString(word), isPair && key == "name" && text != "":
			addresses++
		case isPair && key == "bdf" && bdfForm.MatchString(text) && !strings.Contains(text, "@"):
			addresses++
		case !isPair || !slices.Contains(pciKeys, key):
			return false
		case key == "rdm_policy" && text != "strict" && text != "relaxed":
			return false
		}
	}
	return addresses == 1
}

// values refuses values at which xl would stop.
func (r *resolver) values() error {
	for _, rule := range rules {
		setting := r.config().Lookup(rule.setting)
		if setting == nil {
			continue
		}
		values, err := rule.valuesOf(r.config())
		if err != nil {
			return err
		}
		for _, value := range values {
			if !rule.check(value.Text) {
				return r.config().errorf(value.Pos, rule.remedy, "xl does not know %s = %q", rule.setting, value.Text)
			}
		}
	}
	if err := r.vnuma(); err != nil {
		return err
	}
	return r.contradictions()
}

// valuesOf returns what is to be checked.
func (u rule) valuesOf(c *Config) ([]Value, error) {
	if u.list || u.either && c.Lookup(u.setting).Value.Kind == List {
		return c.List(u.setting)
	}
	value, _, err := c.Text(u.setting)
	return []Value{value}, err
}

// contradictions refuses settings that exclude each other.
func (r *resolver) contradictions() error {
	firmware, ok, err := r.config().Text("firmware")
	if err != nil {
		return err
	}
	if ok && r.domain.Type != HVM && r.config().Lookup("kernel") != nil {
		return r.config().errorf(firmware.Pos, "keep one of them", "there is a kernel and a firmware")
	}
	if mode := r.config().Lookup("timer_mode"); mode != nil && r.domain.Type == PV {
		return r.config().errorf(mode.Value.Pos, "remove it", "PV guests have no timer_mode")
	}
	return nil
}

// vnode is what a node of a guest with several of them has.
type vnode struct{ vcpus, size int64 }

// vnuma checks the nodes of a guest that sees more than one: together they have its vCPUs and its memory.
func (r *resolver) vnuma() error {
	setting := r.config().Lookup("vnuma")
	if setting == nil || len(setting.Value.List) == 0 {
		return nil
	}
	var sum vnode
	for _, node := range setting.Value.List {
		if node.Kind != List {
			return r.config().errorf(node.Pos, `write [ "pnode=0", "size=512", "vcpus=0-1" ] for each node`,
				"a node of vnuma is no list")
		}
		for _, word := range node.List {
			if err := sum.add(word.Text); err != nil {
				return r.config().faultAt(word.Pos, fmt.Sprintf("vnuma %q: ", word.Text), err)
			}
		}
	}
	return cmp.Or(r.sameAsNodes("maxvcpus", sum.vcpus), r.sameAsNodes("maxmem", sum.size))
}

// sameAsNodes refuses a setting, where there is one, that differs from what the nodes of vnuma have together.
func (r *resolver) sameAsNodes(name string, nodes int64) error {
	want, err := r.config().Int(name, nodes, 0, mostMiB)
	if err != nil || want == nodes {
		return err
	}
	return r.config().errorf(r.config().Lookup("vnuma").Value.Pos, "make them equal",
		"%s is %d, and the nodes of vnuma have %d together", name, want, nodes)
}

// add reads one parameter of a node and adds what it gives to the node.
func (n *vnode) add(word string) error {
	key, value, isPair := strings.Cut(word, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	switch {
	case !isPair || value == "":
		return faultf("write KEY=VALUE", "it has no value")
	case key == "pnode":
		return checkNumber(value, 0, 1<<16)
	case key == "size":
		size, err := strconv.ParseInt(value, 10, 32)
		if err != nil || size < 0 {
			return faultf("write a number of MiB", "%q is not a number", value)
		}
		n.size += size
	case key == "vcpus":
		for part := range strings.SplitSeq(value, ",") {
			from, to, ok := parseRange(part)
			if !ok {
				return faultf("write numbers like 0-1,3", "%q is not a number or a range", part)
			}
			n.vcpus += to - from + 1
		}
	}
	return nil
}
