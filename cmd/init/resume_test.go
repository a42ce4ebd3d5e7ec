package main

import (
	"path/filepath"
	"testing"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

// What a web store has done before a crash is not done again.
func TestLeftStores(t *testing.T) {
	d, _ := configured(t, "")
	if d.leftFinished("http://a/") {
		t.Error("a machine that has just started has left something")
	}
	left := new(host.Snapshot)
	left.Host.Stores = []host.Store{{URL: "http://a/", State: "finished"}, {URL: "http://b/", State: "fetching"}}
	d.left = &legacy{Snapshot: left}
	if !d.leftFinished("http://a/") || d.leftFinished("http://b/") || d.leftFinished("http://c/") {
		t.Error("the wrong stores are finished")
	}
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	for name, test := range map[string]struct {
		guest host.Guest
		want  bool
	}{
		"runs":       {host.Guest{Phase: host.Running, Source: guests.Source{Dir: dir}}, true},
		"stopped":    {host.Guest{Phase: host.Stopped, Source: guests.Source{Dir: dir}}, true},
		"refused":    {host.Guest{Phase: host.Refused, Source: guests.Source{Dir: dir}}, false},
		"files gone": {host.Guest{Phase: host.Stopped, Source: guests.Source{Dir: gone}}, false},
		"another's":  {host.Guest{Phase: host.Running, Source: guests.Source{Dir: filepath.Dir(dir)}}, false},
	} {
		d, _ := configured(t, "")
		test.guest.Name, test.guest.UUID = "web", "00000000-0000-0000-0000-000000000001"
		d.state.Tell(host.Resumed{Guest: test.guest})
		look := dir
		if name == "files gone" {
			look = gone
		}
		if got := d.hasStarted(look); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
