package guestcmd

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/api"
	"github.com/zerodisc/zerodisc/internal/client"
)

func (k *call) list(ctx context.Context, args []string) error {
	if err := k.want(args, 0); err != nil {
		return err
	}
	guests, err := k.Client.Guests(ctx, k.json)
	if err != nil {
		return err
	}
	if k.json {
		return k.print(guests)
	}
	t := table{right: []bool{false, false, false, true, true, true}}
	t.add("NAME", "STATE", "ADDRESS", "CPU", "MEMORY", "UPTIME", "NOTE")
	for _, g := range guests {
		t.add(cut(g.Name, maxName), g.Status, g.Address, cpu(g.CPU), memory(g.Memory), uptime(g), note(g))
	}
	return t.write(k.Out)
}

// maxName is how much of a name the table has, characters. JSON has all of it.
const maxName = 24

// note is what is worth knowing of a guest.
func note(g api.Guest) string {
	var notes []string
	if g.Order != "" {
		notes = append(notes, g.Order+" is under way")
	}
	if g.Changes != nil && g.Changes.Full {
		notes = append(notes, "disks full")
	}
	switch {
	case g.Restarts == 1:
		notes = append(notes, "1 restart")
	case g.Restarts > 1:
		notes = append(notes, fmt.Sprintf("%d restarts", g.Restarts))
	}
	if g.Problem != "" {
		notes = append(notes, g.Problem)
	}
	return strings.Join(notes, "; ")
}

func cpu(percent *float64) string {
	if percent == nil {
		return ""
	}
	return strconv.FormatFloat(*percent, 'f', 0, 64) + "%"
}

// memory is a guest's memory in the units of its configuration.
func memory(bytes int64) string {
	const mib, gib = 1 << 20, 1 << 30
	switch {
	case bytes == 0:
		return ""
	case bytes < 10*gib:
		return fmt.Sprintf("%dM", bytes/mib)
	}
	return fmt.Sprintf("%dG", bytes/gib)
}

// uptime is how long a guest has been running.
func uptime(g api.Guest) string {
	if g.Status != "running" && g.Status != "paused" {
		return ""
	}
	return age(time.Duration(g.Seconds) * time.Second)
}

// age is a time in its two largest units.
func age(d time.Duration) string {
	days, hours, minutes := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

func (k *call) show(ctx context.Context, args []string) error {
	if err := k.want(args, 1); err != nil {
		return err
	}
	var g api.Guest
	var state api.GuestState
	if err := k.Client.Get(ctx, client.GuestPath(args[0], ""), &g); err != nil {
		return err
	}
	if err := k.Client.Get(ctx, client.GuestPath(args[0], "/state"), &state); err != nil {
		return err
	}
	if k.json {
		g.State = &state
		return k.print(g)
	}
	return details(g, state).write(k.Out)
}

// details is a guest with a line for all that there is to say of it.
func details(g api.Guest, state api.GuestState) *table {
	t := &table{}
	add := func(key, value string) {
		if value != "" {
			t.add(key+":", value)
		}
	}
	add("name", g.Name)
	add("state", g.Status)
	add("uptime", uptime(g))
	add("problem", g.Problem)
	add("restarts", strconv.Itoa(g.Restarts))
	add("address", g.Address)
	add("type", g.Type)
	add("memory", memory(g.Memory))
	if g.VCPUs > 0 {
		add("vcpus", strconv.Itoa(g.VCPUs))
	}
	if g.Domid != 0 {
		add("cpu", strings.TrimSpace(fmt.Sprintf("%.1f s %s", state.CPU.Seconds, cpu(state.CPU.Percent))))
		add("domid", strconv.Itoa(g.Domid))
	}
	add("uuid", g.UUID)
	add("config", g.Config)
	for i, mac := range g.MACs {
		add("nic", mac+traffic(state.Network["vif"+strconv.Itoa(i)], "received", "sent"))
	}
	packets(state.Rules, add)
	for _, d := range g.Disks {
		add("disk", disk(d)+traffic(state.Disk[d.Vdev], "read", "written"))
	}
	if c := g.Changes; c != nil {
		add("changes", fmt.Sprintf("%s of %s", memory(c.Used), memory(c.Budget)))
	}
	return t
}

// packets adds what passed the host's rules, and what they have dropped, for each reason.
func packets(r *api.RulesState, add func(key, value string)) {
	if r == nil {
		return
	}
	add("packets", fmt.Sprintf("%d received, %d sent", r.Received.Packets, r.Sent.Packets))
	for _, reason := range slices.Sorted(maps.Keys(r.Dropped)) {
		count := r.Dropped[reason]
		add("dropped", fmt.Sprintf("%s: %d packets, %s", reason, count.Packets, rate(float64(count.Bytes))))
	}
}

func disk(d api.Disk) string {
	words := []string{d.Vdev, cmp.Or(d.Target, "(empty)"), d.Format}
	switch {
	case d.CopyOnWrite:
		words = append(words, "copy-on-write")
	case d.Writable:
		words = append(words, "writable")
	default:
		words = append(words, "read-only")
	}
	if d.ByXL {
		words = append(words, "by xl")
	}
	if d.Detached {
		words = append(words, "detached by xl until the guest starts anew")
	}
	if d.Problem != "" {
		words = append(words, d.Problem)
	}
	return strings.Join(words, " ")
}

func traffic(t api.Traffic, in, out string) string {
	if t == (api.Traffic{}) {
		return ""
	}
	return fmt.Sprintf(", %s %s, %s %s", rate(float64(t.In)), in, rate(float64(t.Out)), out)
}

func (k *call) events(ctx context.Context, args []string) error {
	if err := k.want(args, 0); err != nil {
		return err
	}
	var failed error
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err := k.Client.Events(ctx, strings.Split(k.types, ","), func(e api.Event) {
		if failed = k.printLine(e); failed != nil {
			stop() // nobody reads it any more
		}
	})
	if failed != nil || ctx.Err() != nil {
		return failed
	}
	return err
}
