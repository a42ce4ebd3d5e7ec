package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/kmod"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/stage"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// demoGuest is the demo guest: a shell on its console and a page on port 80.
type demoGuest struct {
	*system
	name    string
	about   string // a sentence: what it is
	hint    string // for its shell; may be empty
	address atomic.Pointer[string]
}

// runDemoGuest boots a demo guest and keeps it going until somebody asks for its end.
func runDemoGuest(s *system) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	g := &demoGuest{
		system: s, name: "guest", about: "A guest of zerodisc, running side by side with others on one PC.",
		hint: "Leave its console with Ctrl-].\n",
	}
	stage.Run(ctx, s.stageEnded, []stage.Stage{
		{Name: "modules", Run: loadGuestModules},
		{Name: "name", Run: g.findName},
		{Name: "random", Run: seedRandom},
		{Name: "network", Run: g.startNetwork},
		{Name: "page", Run: g.servePage},
	})
	g.service("processors", g.useProcessors)
	s.tell(host.Ready{Guests: host.NoGuests, Took: time.Since(s.start)})
	s.keepShells(ctx, g.banner)
	return int(s.firstRequest())
}

// loadGuestModules loads the drivers, which lie in the initrd itself.
func loadGuestModules(ctx context.Context) error {
	host, err := kmod.ThisHost(boot.ModulesDir, boot.EarlyModules)
	if err != nil {
		return err
	}
	loader, err := host.Open(boot.EarlyModules)
	if err != nil {
		return err
	}
	return loader.LoadAll(ctx, boot.GuestModules...)
}

// findName asks xenstore what this guest is called.
func (g *demoGuest) findName(ctx context.Context) error {
	store, err := xenstore.Open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	name, err := store.Read(ctx, "name")
	if err != nil {
		return err
	}
	g.name = name
	return unix.Sethostname([]byte(name))
}

// seedRandom takes the random bytes that dom0 has put into xenstore for this guest. Without a
// random number generator in the CPU the kernel would gather its own for 20 s (measured under
// emulation), and DHCP needs some.
func seedRandom(ctx context.Context) error {
	store, err := xenstore.Open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	text, err := store.Read(ctx, boot.XenstoreSeed)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the host is not zerodisc
	}
	if err != nil {
		return err
	}
	seed, err := hex.DecodeString(text)
	if err != nil {
		return fmt.Errorf("seed from dom0: %w", err)
	}
	return errors.Join(addEntropy(seed), store.Rm(ctx, boot.XenstoreSeed))
}

// addEntropy gives the kernel bytes that are random in every bit (random(4), RNDADDENTROPY).
func addEntropy(seed []byte) error {
	random, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer random.Close()
	pool := binary.NativeEndian.AppendUint32(nil, uint32(len(seed)*8)) // struct rand_pool_info: bits, bytes, the bytes
	pool = binary.NativeEndian.AppendUint32(pool, uint32(len(seed)))
	pool = append(pool, seed...)
	if _, _, errno := unix.Syscall(
		unix.SYS_IOCTL, random.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&pool[0])),
	); errno != 0 {
		return fmt.Errorf("add entropy: %w", errno)
	}
	return nil
}

// startNetwork gets a lease for the guest's interface in the background and lets dom0 know.
func (g *demoGuest) startNetwork(ctx context.Context) error {
	manager, err := netcfg.NewManager(netcfg.Options{
		Network: netcfg.DirectNetwork("eth0"), Hostname: g.name, ResolvConf: "/etc/resolv.conf",
		Report: func(e netcfg.Event) {
			if e.Kind == netcfg.EventLease {
				g.tell(ctx, e.Lease.Address.Addr().String())
			}
		},
	})
	if err != nil {
		return err
	}
	g.service("network", g.whenRandom(manager.Run))
	return nil
}

// show makes the address known: to the page and on the console.
func (g *demoGuest) show(address string) {
	g.address.Store(&address)
	g.log.Info(boot.MsgGuestAddress, "guest", g.name, "address", address)
}

// tell makes the address known here, and to dom0 through xenstore.
func (g *demoGuest) tell(ctx context.Context, address string) {
	g.show(address)
	store, err := xenstore.Open(ctx)
	if err != nil {
		g.log.Error("xenstore", "err", err)
		return
	}
	defer store.Close()
	if err := store.Write(ctx, boot.XenstoreAddress, address); err != nil {
		g.log.Error("xenstore", "err", err)
	}
}

// banner stands above the guest's shell.
func (g *demoGuest) banner() string {
	where := "It has no address yet; exit shows this again."
	if a := g.address.Load(); a != nil {
		where = fmt.Sprintf("Address %s, page http://%s/", *a, *a)
	}
	return fmt.Sprintf("\nThis is %s. %s\n%s\n%s\n", g.name, g.about, where, g.hint)
}

// facts are what the page says.
type facts struct {
	Name, About, Address, Uptime, Memory, Kernel string
}

func (g *demoGuest) facts() facts {
	f := facts{Name: g.name, About: g.about, Address: "(not yet)", Uptime: uptime().Round(time.Second).String()}
	if a := g.address.Load(); a != nil {
		f.Address = *a
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		f.Memory = memoryUse(string(text))
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		f.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return f
}

// memoryUse reads used and total memory out of /proc/meminfo (proc(5)).
func memoryUse(meminfo string) string {
	values := map[string]int64{}
	lines := bufio.NewScanner(strings.NewReader(meminfo))
	for lines.Scan() {
		key, rest, _ := strings.Cut(lines.Text(), ":")
		var kib int64
		if _, err := fmt.Sscan(rest, &kib); err == nil {
			values[key] = kib
		}
	}
	return fmt.Sprintf("%d of %d MiB in use", (values["MemTotal"]-values["MemAvailable"])>>10, values["MemTotal"]>>10)
}

// page is what the guest shows of itself. It is no template: html/template keeps the linker from leaving out what
// nobody calls, which costs a tenth of the program.
func page(f facts) string {
	text := "<!doctype html>\n" +
		`<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` + "\n" +
		"<title>" + html.EscapeString(f.Name) + "</title>\n" +
		"<style>body{font:18px/1.5 system-ui,sans-serif;max-width:32em;margin:3em auto;padding:0 1em}" +
		"td{padding-right:2em}</style>\n" +
		"<h1>" + html.EscapeString(f.Name) + "</h1>\n<p>" + html.EscapeString(f.About) + "\n<table>\n"
	for _, row := range [][2]string{
		{"address", f.Address}, {"up for", f.Uptime}, {"memory", f.Memory}, {"kernel", "Linux " + f.Kernel},
	} {
		text += "<tr><td>" + row[0] + "<td>" + html.EscapeString(row[1]) + "\n"
	}
	return text + "</table>\n"
}

// servePage serves the page on port 80 in the background.
func (g *demoGuest) servePage(context.Context) error {
	server := &http.Server{
		Addr: ":80", ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, page(g.facts()))
		}),
	}
	go func() { g.log.Error("page", "err", server.ListenAndServe()) }()
	return nil
}
