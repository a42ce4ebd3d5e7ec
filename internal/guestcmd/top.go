package guestcmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/zerodisc/zerodisc/internal/api"
)

// sample is what all guests have used at one moment.
type sample struct {
	at     time.Time
	guests []api.Guest
}

func (k *call) sample(ctx context.Context) (sample, error) {
	guests, err := k.Client.Guests(ctx, true)
	return sample{time.Now(), guests}, err
}

// onceAfter is the time between the two looks where there is one table only.
const onceAfter = 2 * time.Second

// shortestEvery is the shortest time between two looks: each asks the hypervisor.
const shortestEvery = time.Second

func (k *call) top(ctx context.Context, args []string) error {
	if err := k.want(args, 0); err != nil {
		return err
	}
	if k.every < shortestEvery {
		return usagef("-every %v: want at least %v", k.every, shortestEvery)
	}
	before, err := k.sample(ctx)
	if err != nil {
		return err
	}
	if _, ok := isTerminal(k.Out); ok && !k.json {
		return k.refresh(ctx, before)
	}
	if err := sleep(ctx, onceAfter); err != nil {
		return err
	}
	now, err := k.sample(ctx)
	if err != nil {
		return err
	}
	if k.json {
		return k.print(now.guests)
	}
	return usage(before, now).write(k.Out)
}

// refresh shows the table in place until somebody has seen enough.
func (k *call) refresh(ctx context.Context, before sample) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if in, ok := isTerminal(k.In); ok {
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return err
		}
		defer k.Take(in)()
		defer func() { _ = term.Restore(int(in.Fd()), old) }()
		go untilQuit(k.In, stop)
	}
	fmt.Fprint(k.Out, "\x1b[H\x1b[2J")
	for now := before; ; before = now {
		width, height := size(k.Out)
		lines := usage(before, now).lines(width)
		lines = append(lines[:min(len(lines), height-2)], "", "q ends")
		fmt.Fprintf(k.Out, "\x1b[H%s\x1b[K\x1b[J", strings.Join(lines, "\x1b[K\r\n"))
		if sleep(ctx, k.every) != nil {
			fmt.Fprint(k.Out, "\r\n")
			return nil
		}
		next, err := k.sample(ctx)
		if err != nil {
			fmt.Fprint(k.Out, "\r\n")
			return err
		}
		now, before = next, now
	}
}

// untilQuit reads keys until one says that it is enough.
func untilQuit(in io.Reader, stop func()) {
	const ctrlC = 3
	defer stop()
	key := make([]byte, 1)
	for {
		if n, err := in.Read(key); err != nil || n == 1 && (key[0] == 'q' || key[0] == ctrlC) {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// usage is what guests used between two looks, the busiest first.
func usage(before, now sample) *table {
	t := &table{right: []bool{false, false, true, true, true, true, true, true, true}}
	t.add("NAME", "STATE", "CPU", "MEMORY", "NET IN", "NET OUT", "DROPS", "READ", "WRITTEN")
	past := now.at.Sub(before.at).Seconds()
	guests := slices.Clone(now.guests)
	slices.SortStableFunc(guests, func(a, b api.Guest) int { return cmp.Compare(share(b), share(a)) })
	for _, g := range guests {
		if g.Domid == 0 || g.State == nil {
			continue
		}
		network, disk := total(g.State.Network), total(g.State.Disk)
		i := slices.IndexFunc(before.guests, func(b api.Guest) bool { return b.Domid == g.Domid && b.State != nil })
		var rates [4]string
		var drops string
		if i >= 0 && past > 0 {
			n, d := total(before.guests[i].State.Network), total(before.guests[i].State.Disk)
			for j, bytes := range [4]int64{network.In - n.In, network.Out - n.Out, disk.In - d.In, disk.Out - d.Out} {
				rates[j] = rate(float64(max(0, bytes))/past) + "/s"
			}
			drops = number(float64(dropped(g.State)-dropped(before.guests[i].State))/past) + "/s"
		}
		t.add(cut(g.Name, maxName), g.Status, cpu(g.CPU), memory(g.Memory),
			rates[0], rates[1], drops, rates[2], rates[3])
	}
	return t
}

// dropped is how many packets of a guest the host's rules have dropped, and of what others sent to it.
func dropped(s *api.GuestState) (packets int64) {
	if s.Rules == nil {
		return 0
	}
	for _, count := range s.Rules.Dropped {
		packets += int64(count.Packets)
	}
	return packets
}

func share(g api.Guest) float64 {
	if g.CPU == nil {
		return -1
	}
	return *g.CPU
}

func total(devices map[string]api.Traffic) (sum api.Traffic) {
	for _, d := range devices {
		sum.In, sum.Out = sum.In+d.In, sum.Out+d.Out
	}
	return sum
}

// rate is a number of bytes in at most six characters, number one of packets in five.
func rate(bytes float64) string   { return short(bytes, "B", "kB", "MB", "GB", "TB") }
func number(count float64) string { return short(max(0, count), "", "k", "M", "G", "T") }

func short(n float64, units ...string) string {
	for i, unit := range units {
		if n < 999.5 || i == len(units)-1 {
			if i == 0 || n >= 99.5 {
				return fmt.Sprintf("%.0f%s", n, unit)
			}
			return fmt.Sprintf("%.3g%s", n, unit)
		}
		n /= 1000
	}
	return ""
}

// printLine prints a line of JSON.
func (k *call) printLine(v any) error { return json.NewEncoder(k.Out).Encode(v) }
