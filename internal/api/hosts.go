package api

import (
	"net/http"
	"os"
	"strings"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/logs"
	"github.com/zerodisc/zerodisc/internal/meter"
)

func (s *server) getHost(http.ResponseWriter, *http.Request) answer {
	return result{hostView(s.State.Snapshot().Host)}
}

// hostView is the machine as the API shows it.
func hostView(h host.Host) Host {
	name, _ := os.Hostname()
	view := Host{
		Version: h.Version, Hostname: name, Xen: h.Machine.Xen, CPUs: h.Machine.CPUs, Memory: h.Machine.TotalKiB << 10,
		GuestType: h.Machine.GuestType, Network: networkView(h.Network),
		Medium: Medium{
			Device: h.Medium.Device, File: h.Medium.File, Status: string(h.Medium.State), Problem: h.Medium.Problem,
		},
		Daemons: []Daemon{}, Stores: storeViews(h), Problems: append([]string{}, h.Wrong()...),
		Ready: h.Ready, Ending: h.Ending,
	}
	if v := h.State; v.Device != "" || v.Problem != "" {
		view.StateVolume = &StateVolume{
			Device: v.Device, File: v.File, Mount: v.Mount, Bytes: v.Bytes, Free: v.Free, ReadOnly: v.ReadOnly,
			Problem: v.Problem, Remedy: v.Remedy,
		}
	}
	for _, d := range h.Daemons {
		view.Daemons = append(view.Daemons, Daemon{
			Name: d.Name, Status: d.Phase, PID: d.PID, Restarts: d.Restarts, Problem: d.Problem,
		})
	}
	return view
}

func networkView(n host.Network) Network {
	view := Network{Status: string(n.Kind), Interface: n.Interface, NIC: n.NIC, Problem: n.Problem}
	if n.Kind == "" {
		view.Status = "waiting"
	}
	if n.Address.IsValid() {
		view.Address = n.Address.String()
	}
	if n.Gateway.IsValid() {
		view.Gateway = n.Gateway.String()
	}
	return view
}

// storeViews are the places that guests come from.
func storeViews(h host.Host) []Store {
	views := []Store{}
	for _, s := range h.Stores {
		view := Store{Source: s.URL, Status: s.State, Guests: []string{}, Problem: s.Problem, Remedy: s.Remedy}
		if s.Guest != "" {
			view.Guests = []string{s.Guest} // the one that is fetched
		}
		views = append(views, view)
	}
	for _, r := range h.Remotes {
		views = append(views, Store{
			Source: r.URL, Status: string(r.State), Guests: append([]string{}, r.Guests...),
			Problem: r.Problem, Remedy: r.Remedy,
		})
	}
	for _, v := range h.Volumes {
		if len(v.Guests) == 0 {
			continue
		}
		status := "not trusted"
		if v.Trusted {
			status = "trusted"
		}
		views = append(views, Store{
			Source: v.Device, Status: status, Guests: append([]string{}, v.Guests...), Problem: v.Problem,
		})
	}
	return views
}

func (s *server) getHostState(http.ResponseWriter, *http.Request) answer {
	now := s.State.Snapshot()
	m, err := meter.ReadHost(os.DirFS("/proc"))
	if err != nil {
		return failed(err)
	}
	state := HostState{
		Uptime: m.Uptime.Seconds(), Load: m.Load, Guests: now.Running(), Reservations: []Reservation{},
		Dom0Memory: Dom0Memory{
			Total: m.TotalKiB << 10, Available: m.AvailableKiB << 10,
			SwapTotal: m.SwapTotalKiB << 10, SwapFree: m.SwapFreeKiB << 10,
		},
	}
	for _, r := range now.Host.Memory {
		state.Reservations = append(state.Reservations, Reservation{
			Owner: r.Owner, Xen: r.XenKiB << 10, Dom0: r.Dom0KiB << 10,
		})
	}
	return result{state}
}

// defaultLines is how many lines of the log are sent unless asked for more.
const defaultLines = 1000

func (s *server) getLogs(_ http.ResponseWriter, r *http.Request) answer { return s.logs(r, "") }

// logs answers with the newest lines of the log, of one guest alone where its name is given.
func (s *server) logs(r *http.Request, guest string) answer {
	limit, err := number(r, "limit", defaultLines, 1)
	if err != nil {
		return failed(err)
	}
	q := Query{Guest: guest, Limit: int(min(limit, 1<<20))}
	if sources := r.URL.Query().Get("source"); sources != "" {
		q.Sources = strings.Split(sources, ",")
	}
	if name := r.URL.Query().Get("level"); name != "" {
		least, err := logs.ParseLevel(name)
		if err != nil {
			return failed(badRequest("level=%v", err))
		}
		q.Level = &least
	}
	lines, err := s.Logs.Recent(q)
	if err != nil {
		return failed(err)
	}
	return result{lines}
}
