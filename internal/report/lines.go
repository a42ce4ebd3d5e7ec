package report

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/host"
)

// Lines writes a line for each event (docs/console.md).
type Lines struct {
	log       *slog.Logger
	addresses map[int]int                  // how many were written, by domain
	floods    map[int]map[string]time.Time // when what was said last, by domain
	restarts  map[string]*restarts         // by guest

	mu      sync.Mutex // guards what follows
	written uint64     // number of the newest snapshot whose events are written
	moved   chan struct{}
}

// NewLines returns Lines that writes to log.
func NewLines(log *slog.Logger) *Lines {
	return &Lines{
		log:       log,
		addresses: map[int]int{}, floods: map[int]map[string]time.Time{}, restarts: map[string]*restarts{},
		moved: make(chan struct{}),
	}
}

// Run writes the events of updates until ctx ends.
func (l *Lines) Run(ctx context.Context, updates <-chan host.Update) {
	for {
		select {
		case update := <-updates:
			l.write(update)
		case <-ctx.Done():
			return
		}
	}
}

// Wait returns when the events up to the snapshot of that number are written, or after limit: a console may
// be stuck.
func (l *Lines) Wait(number uint64, limit time.Duration) {
	late := time.After(limit)
	for {
		l.mu.Lock()
		there, moved := l.written >= number, l.moved
		l.mu.Unlock()
		if there {
			return
		}
		select {
		case <-moved:
		case <-late:
			return
		}
	}
}

func (l *Lines) write(update host.Update) {
	if update.Lost > 0 {
		l.log.Warn("lines left out", "count", update.Lost)
	}
	for _, event := range update.Events {
		if level, message, attrs := l.line(event); message != "" {
			l.log.Log(context.Background(), level, message, attrs...)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written = update.Number
	close(l.moved)
	l.moved = make(chan struct{})
}

// line is an event as the console has it; "" for one that has no line.
func (l *Lines) line(event host.Event) (level slog.Level, message string, attrs []any) {
	switch e := event.(type) {
	case host.Stage:
		return stageLine(e)
	case host.Medium:
		return mediumLine(e)
	case host.Network:
		return networkLine(e)
	case host.Daemon:
		return daemonLine(e)
	case host.Store:
		return storeLine(e)
	case host.Volume:
		return volumeLine(e)
	case host.VolumeGone:
		return volumeGoneLine(e)
	case host.VolumeProblem:
		return slog.LevelWarn, boot.MsgVolumes, []any{"err", e.Text}
	case host.StateVolume:
		return stateLine(e)
	case host.Remote:
		return remoteLine(e)
	case host.SSH, host.SSHLogin, host.SSHRefused:
		return sshLine(e)
	case host.Ready:
		attrs = []any{"ms", e.Took.Milliseconds()}
		if e.Guests != host.NoGuests {
			attrs = append([]any{"guests", e.Guests}, attrs...)
		}
		return slog.LevelInfo, boot.MsgReady, attrs
	case host.Clock:
		return clockLine(e)
	case host.LogServer:
		return logServerLine(e)
	case host.WatchdogTimer:
		return watchdogLine(e)
	case host.OutOfMemory:
		return slog.LevelError, boot.MsgOutOfMemory, []any{"killed", e.Name, "pid", e.PID,
			"remedy", "dom0 had no memory left; see free and ps, and boot with more: dom0_mem"}
	case host.FileSystem:
		return fileSystemLine(e)
	case host.Ending:
		return slog.LevelInfo, boot.MsgEnding, []any{"action", e.Action}
	}
	return l.guestLine(event)
}

// guestLine is the line of an event of a guest's.
func (l *Lines) guestLine(event host.Event) (level slog.Level, message string, attrs []any) {
	switch e := event.(type) {
	case host.GuestRan:
		if l.isQuiet(e.Name) {
			return 0, "", nil
		}
		attrs = []any{"guest", e.Name, "domid", e.Domid}
		if e.Type != "" {
			attrs = append(attrs, "ms", e.Took.Milliseconds(), "type", e.Type)
		}
		return slog.LevelInfo, boot.MsgGuestRunning, attrs
	case host.GuestAddressed:
		if l.addresses[e.Domid]++; l.addresses[e.Domid] > maxAddresses {
			return l.addressFlood(e)
		}
		return slog.LevelInfo, boot.MsgGuestAddress, []any{"guest", e.Name, "address", e.Address.String()}
	case host.GuestDisk:
		attrs = []any{"guest", e.Name, "disk", e.Vdev, "target", e.Target, "format", e.Format}
		if e.CopyOnWrite {
			attrs = append(attrs, "budget", mibs(e.BudgetKiB))
		}
		if e.Problem != "" {
			return slog.LevelWarn, boot.MsgGuestDisk, append(attrs, "err", e.Problem,
				"remedy", "the guest gets I/O errors there; check the image")
		}
		return slog.LevelInfo, boot.MsgGuestDisk, attrs
	case host.GuestDisksFull:
		return slog.LevelError, boot.MsgGuestDiskFull, []any{
			"guest", e.Name, "used", mibs(e.Changes.UsedKiB), "budget", mibs(e.Changes.BudgetKiB),
			"remedy", "its disks take no more writes; guest disk save keeps what it has written, guest stop and " +
				"guest start drop it; " + boot.KeyBudget + "=" + e.Name + ":SIZE gives it more",
		}
	case host.GuestNotStarted:
		return slog.LevelError, boot.MsgGuestRefused, []any{"guest", e.Name, "file", e.Origin, "err", e.Problem}
	case host.GuestWaits:
		return slog.LevelWarn, boot.MsgGuestWaiting, []any{
			"guest", e.Name, "file", e.Origin, "err", e.Problem,
			"remedy", "it starts when the disk is there; ls -l /dev/disk/by-* shows those that are",
		}
	case host.GuestEnded:
		delete(l.addresses, e.Domid)
		delete(l.floods, e.Domid)
		if e.Restarts && l.isQuiet(e.Name) {
			return 0, "", nil
		}
		if !e.Restarts {
			delete(l.restarts, e.Name)
		}
		attrs = []any{"guest", e.Name, "domid", e.Domid}
		if e.Forced != nil {
			attrs = append(attrs, "forced", *e.Forced)
		}
		if e.Problem != "" {
			attrs = append(attrs, "err", e.Problem)
		}
		return slog.LevelInfo, boot.MsgGuestStopped, attrs
	case host.GuestFloods:
		if !l.isNews(e, time.Now()) {
			return 0, "", nil
		}
		return floodLine(e)
	case host.GuestRefusedTraffic:
		return slog.LevelWarn, boot.MsgGuestTraffic, []any{
			"guest", e.Name, "reason", e.Reason, "packets", e.Packets, "err", e.What,
			"remedy", strings.ReplaceAll(e.Remedy, "NAME", e.Name),
		}
	case host.GuestRestarts:
		return l.restartLine(e, time.Now())
	}
	return 0, "", nil
}

func fileSystemLine(f host.FileSystem) (level slog.Level, message string, attrs []any) {
	attrs = []any{"dir", f.Dir, "state", "room", "size", mibs(f.KiB)}
	if !f.Full {
		return slog.LevelInfo, boot.MsgFileSystem, attrs
	}
	attrs[3] = "full"
	return slog.LevelError, boot.MsgFileSystem, append(attrs,
		"remedy", "delete what is not needed there, du "+f.Dir+" lists it; it is dom0's memory")
}

// volumeLine is the line of a disk or partition that was looked at; what holds no file system has none.
func volumeLine(v host.Volume) (level slog.Level, message string, attrs []any) {
	if v.Mount == "" && v.Problem == "" {
		return 0, "", nil
	}
	attrs = []any{"device", v.Device}
	for _, a := range []struct{ key, value string }{
		{"type", v.Type}, {"label", v.Label}, {"mount", v.Mount},
		{"guests", strings.Join(v.Guests, ",")}, {"err", v.Problem},
	} {
		if a.value != "" {
			attrs = append(attrs, a.key, a.value)
		}
	}
	if len(v.Guests) > 0 && !v.Trusted {
		attrs = append(attrs,
			"remedy", "they start with "+boot.KeyStores+"=all, or if the volume's label begins with ZERODISC-")
	}
	if v.Problem != "" {
		level = slog.LevelWarn
	}
	return level, boot.MsgStorage, attrs
}

func volumeGoneLine(v host.VolumeGone) (level slog.Level, message string, attrs []any) {
	attrs = []any{"device", v.Device}
	if len(v.Guests) == 0 {
		return slog.LevelInfo, boot.MsgStorageGone, attrs
	}
	return slog.LevelError, boot.MsgStorageGone, append(attrs, "guests", strings.Join(v.Guests, ","),
		"remedy", "their disks on it are gone; end them, put it back and start them again")
}

// mediumLine says where the boot medium is, and what became of it.
func mediumLine(e host.Medium) (level slog.Level, message string, attrs []any) {
	attrs = []any{"device", e.Device}
	if e.File != "" {
		attrs = append(attrs, "file", e.File)
	}
	guests := strings.Join(e.Guests, ",")
	switch {
	case e.State == host.MediumCopying:
		attrs = append(attrs, "state", e.State, "done", e.Done, "total", e.Total)
	case e.State == host.MediumGone:
		return slog.LevelError, boot.MsgMedium, append(attrs, "state", e.State, "guests", guests,
			"remedy", "plug it in again: guests go on then; until then what they read of it fails")
	case e.State == host.MediumInRAM && (e.Problem != "" || guests != ""):
		return slog.LevelWarn, boot.MsgMedium, append(attrs, "state", "in RAM", "guests", guests, "err", e.Problem,
			"remedy", "it may be removed once nothing else on it is in use")
	case e.State == host.MediumInRAM:
		attrs = append(attrs, "state", e.State, "ms", e.Took.Milliseconds())
	case e.Problem != "":
		return slog.LevelWarn, boot.MsgMedium, append(attrs, "state", "needed", "err", e.Problem,
			"remedy", "leave it where it is")
	default:
		attrs = append(attrs, "mount", e.Mount)
	}
	return slog.LevelInfo, boot.MsgMedium, attrs
}

// stateLine is the line of the state volume.
func stateLine(v host.StateVolume) (level slog.Level, message string, attrs []any) {
	free := ""
	if v.Mount != "" {
		free = bytesize.Text(v.Free)
	}
	for _, a := range []struct{ key, value string }{
		{"device", v.Device}, {"file", v.File}, {"uuid", v.UUID}, {"mount", v.Mount}, {"free", free},
		{"guests", strings.Join(v.Guests, ",")}, {"err", v.Problem}, {"remedy", v.Remedy},
	} {
		if a.value != "" {
			attrs = append(attrs, a.key, a.value)
		}
	}
	if v.Problem != "" {
		level = slog.LevelError
	}
	return level, boot.MsgState, attrs
}

// remoteLevels are how loud the states of storage on the network are.
var remoteLevels = map[host.RemoteState]slog.Level{
	host.RemoteWaiting: slog.LevelWarn, host.RemoteConnected: slog.LevelInfo, host.RemoteLost: slog.LevelError,
}

func remoteLine(r host.Remote) (level slog.Level, message string, attrs []any) {
	attrs = []any{"url", r.URL, "state", string(r.State)}
	for _, a := range []struct{ key, value string }{
		{"version", r.Version}, {"device", r.Device}, {"mount", r.Mount}, {"guests", strings.Join(r.Guests, ",")},
		{"err", r.Problem}, {"remedy", r.Remedy},
	} {
		if a.value != "" {
			attrs = append(attrs, a.key, a.value)
		}
	}
	return remoteLevels[r.State], boot.MsgNetStorage, attrs
}

// mibs is an amount of memory for people.
func mibs(kib int64) string { return fmt.Sprintf("%d MiB", kib>>10) }

func stageLine(e host.Stage) (slog.Level, string, []any) {
	attrs := []any{"name", e.Name, "ms", e.Took.Milliseconds()}
	if e.Problem == "" {
		return slog.LevelInfo, boot.MsgStage, attrs
	}
	return slog.LevelError, boot.MsgStage, append(attrs, "err", e.Problem, "remedy", e.Remedy)
}

// networkMessages are the console lines for the kinds of network events; all others are boot.MsgNetwork.
var networkMessages = map[host.NetworkKind]string{
	host.Lease:   boot.MsgHostAddress,
	host.NoLease: boot.MsgNoLease,
	host.Lost:    boot.MsgLeaseLost,
	host.NoNIC:   boot.MsgNoNIC,
}

// quietNetwork are the kinds of network events that are no warnings.
var quietNetwork = []host.NetworkKind{
	host.Lease, host.AddressSet, host.DHCPServers, host.LinkUp, host.Reachable, host.InterfaceGone,
}

// networkRemedies are what to do about network events whose problem does not say so itself.
var networkRemedies = map[host.NetworkKind]string{
	host.AddressConflict: "give one of the two hosts another address",
	host.NoAddress:       "connect a cable to a network with a DHCP server, or give a static address",
	host.DHCPServers:     "if one of them should not be there, find it by its address",
	host.NoNIC:           "plug one in: it is taken when it appears",
}

// networkRemedy is what to do about a network event. An address helps nobody whose interface has no network card.
func networkRemedy(e host.Network) string {
	if e.Kind == host.NoAddress && e.NIC == "" {
		return "plug its network card in"
	}
	return networkRemedies[e.Kind]
}

func networkLine(e host.Network) (slog.Level, string, []any) {
	message, attrs := networkMessages[e.Kind], []any{"interface", e.Interface}
	isIPv6 := e.Address.IsValid() && e.Address.Addr().Is6()
	switch {
	case e.Kind == host.AddressSet && isIPv6:
		message = boot.MsgHostAddress6
	case e.Kind == host.AddressSet:
		message = boot.MsgHostAddress
	case message == "":
		message, attrs = boot.MsgNetwork, append(attrs, "state", string(e.Kind))
	}
	if e.NIC != "" {
		attrs = append(attrs, "nic", e.NIC)
	}
	if e.Address.IsValid() {
		attrs = append(attrs, "address", e.Address.String())
	}
	if e.Gateway.IsValid() {
		attrs = append(attrs, "gateway", e.Gateway.String())
	}
	if e.By != "" {
		attrs = append(attrs, "by", e.By)
	}
	if e.Tried > 0 {
		attrs = append(attrs, "tried", e.Tried.Round(time.Second).String())
	}
	if e.Problem != "" {
		attrs = append(attrs, "err", e.Problem)
	}
	if remedy := networkRemedy(e); remedy != "" {
		attrs = append(attrs, "remedy", remedy)
	}
	level := slog.LevelWarn
	if slices.Contains(quietNetwork, e.Kind) {
		level = slog.LevelInfo
	}
	return level, message, attrs
}

func daemonLine(e host.Daemon) (slog.Level, string, []any) {
	level := slog.LevelDebug
	switch {
	case e.Failed:
		level = slog.LevelError
	case e.Problem != "" || e.Restarts > 0:
		level = slog.LevelWarn
	}
	return level, boot.MsgDaemon, []any{"name", e.Name, "state", e.Phase, "pid", e.PID, "err", e.Problem}
}

// clockLine is the line of the clock.
func clockLine(e host.Clock) (slog.Level, string, []any) {
	attrs := []any{"state", e.State}
	if e.State == host.ClockMoved {
		return slog.LevelWarn, boot.MsgTime, append(attrs, "offset", e.Offset.Round(time.Millisecond).String(),
			"now", e.At.UTC().Format(time.RFC3339), "remedy", "somebody has set the clock; time servers are asked now")
	}
	if e.Problem != "" {
		return slog.LevelWarn, boot.MsgTime, append(attrs, "err", e.Problem, "remedy", clockRemedy(e))
	}
	return slog.LevelInfo, boot.MsgTime, append(attrs, "server", e.Server,
		"offset", e.Offset.Round(time.Microsecond).String(), "now", e.At.UTC().Format(time.RFC3339))
}

func clockRemedy(e host.Clock) string {
	if e.Synced {
		return "the clock goes on by itself; dom0 keeps asking"
	}
	return "dom0 keeps asking; zerodisc.ntp=HOST names another time server, zerodisc.ntp=no none"
}

// logServerLine is the line of a server that gets the log.
func logServerLine(e host.LogServer) (slog.Level, string, []any) {
	attrs := []any{"url", e.URL}
	switch {
	case !e.Connected:
		return slog.LevelWarn, boot.MsgSyslog, append(attrs, "state", "waiting", "err", e.Problem)
	case e.Lost > 0:
		return slog.LevelWarn, boot.MsgSyslog, append(attrs, "state", "connected", "lost", e.Lost)
	}
	return slog.LevelInfo, boot.MsgSyslog, append(attrs, "state", "connected")
}

// watchdogLine is the line of the watchdog.
func watchdogLine(e host.WatchdogTimer) (slog.Level, string, []any) {
	if e.Problem != "" {
		return slog.LevelWarn, boot.MsgWatchdog, []any{"err", e.Problem}
	}
	return slog.LevelInfo, boot.MsgWatchdog, []any{"device", e.Device, "name", e.Name, "timeout", e.Timeout.String()}
}

func storeLine(e host.Store) (slog.Level, string, []any) {
	attrs := []any{"url", e.URL, "state", e.State}
	switch e.State {
	case "waiting":
		return slog.LevelWarn, boot.MsgGuestStore, append(attrs, "err", e.Problem, "remedy", e.Remedy)
	case "found":
		attrs = append(attrs, "guests", e.Guests)
	case "finished":
		attrs = append(attrs, "guests", e.Guests, "refused", e.Refused, "ms", e.Took.Milliseconds())
	default:
		attrs = append(attrs, "guest", e.Guest, "done", e.Done)
		if e.Total > 0 {
			attrs = append(attrs, "total", e.Total)
		}
	}
	return slog.LevelInfo, boot.MsgGuestStore, attrs
}
