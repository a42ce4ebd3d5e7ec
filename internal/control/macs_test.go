package control

import (
	"errors"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/guests"
)

// A guest is refused if its MAC address is that of a guest that is there, of one that comes with it, or of dom0.
func TestMACsOfOthers(t *testing.T) {
	live(t, func(w *world) {
		vif := func(mac string) string { return "vif = ['mac=" + mac + "']\n" }
		w.CheckMAC = func(mac, _ string) error {
			if mac == "52:54:00:00:00:99" {
				return errors.New("xenbr0 of dom0 has it")
			}
			return nil
		}
		two := []*guests.Guest{w.guest("a", vif("52:54:00:00:00:01")), w.guest("b", vif("52:54:0:0:0:1"))}
		if n := w.Start(w.t.Context(), two); n != 1 {
			t.Errorf("%d of two guests with one address run", n)
		}
		for name, test := range map[string]struct{ mac, want string }{
			"c": {"52:54:00:00:00:01", `52:54:00:00:00:01: the guest "a" has it`},
			"d": {"52:54:00:00:00:99", "52:54:00:00:00:99: xenbr0 of dom0 has it"},
			"e": {"52:54:00:00:00:02", ""},
		} {
			n := w.Start(w.t.Context(), []*guests.Guest{w.guest(name, vif(test.mac))})
			problem := ""
			if g := w.State.Snapshot().ByName(name); g != nil {
				problem = g.Problem
			}
			if (n == 1) != (test.want == "") || !strings.Contains(problem, test.want) {
				t.Errorf("%s: %d guests run, %q, want %q", name, n, problem, test.want)
			}
		}
		if _, err := w.AttachNIC(w.t.Context(), "e", "mac=52:54:00:00:00:99"); err == nil {
			t.Error("attached with dom0's address")
		}
	})
}
